// The MQTT client of the demo's sensors. It ships in a file of its own, dist/demo.mjs (tools/bundle.mjs): with what it brings it is a fifth of the program,
// and a gateway never connects as a client. Not for: anything but `wadi demo`, and only by import().

export { connect } from 'mqtt'

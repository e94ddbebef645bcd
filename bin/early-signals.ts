// The first thing that is loaded: from here on Node opens no debugger on SIGUSR1, which every user of the machine could talk to, and ends on neither signal.
// What they mean is told when a gateway runs (serve.ts). Before this line, while Node itself starts, it does as it always does.

for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined)

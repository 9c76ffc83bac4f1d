// The `proa` command, entered through proa.js. It loads nothing but what the chosen subcommand needs.
const { UsageError } = await import('#machinery/base/flags.ts');
const { StartError } = await import('./locks.ts');

interface Command { summary: string; run(args: string[]): Promise<void> }

/** A component alone: upstream's flags, so that each can be swapped against upstream's own. */
const component = (summary: string, load: () => Promise<{ entry: import('#machinery/base/entry.ts').Entry }>): Command => ({
  summary,
  async run(args) {
    const { runEntry } = await import('#machinery/base/entry.ts');
    await runEntry((await load()).entry, args);
  },
});

const commands: Record<string, Command> = {
  server: { summary: 'start a whole cluster on this machine', run: async (args) => (await import('./server.ts')).server(args) },
  snapshot: { summary: 'back up a cluster, and bring it back', run: async (args) => (await import('./snapshot.ts')).snapshot(args) },
  apiserver: component('the API server alone', () => import('../apiserver/main.ts')),
  scheduler: component('the scheduler alone', () => import('../scheduler/main.ts')),
  controllers: component('the controllers alone', () => import('../controllers/main.ts')),
  kubelet: component('the kubelet of one node alone', () => import('../node/kubelet/main.ts')),
  proxy: component('the service proxy of one node alone', () => import('../node/proxy/main.ts')),
  dns: component('the cluster DNS server alone', () => import('../node/dns/main.ts')),
  version: {
    summary: 'print the version',
    async run() {
      process.stdout.write(`proa ${(await import('./version.ts')).version}\n`);
    },
  },
};

function help(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return `proa: a Kubernetes cluster in one command

Usage: proa COMMAND [--flags]; proa COMMAND --help tells more

Commands:
${rows.join('\n')}

First steps:
  proa server                                      starts everything and prints where the kubeconfig is
  export KUBECONFIG=/var/lib/proa/admin.kubeconfig
  kubectl get nodes
`;
}

/** One line on stderr for what a person can mend (2: usage, 1: the rest); a stack only for our own mistakes. */
function fail(error: unknown): never {
  if (error instanceof UsageError) {
    process.stderr.write(`proa: ${error.message}\n`);
    process.exit(2);
  }
  if (error instanceof StartError || (error instanceof Error && ['StorageUnavailableError', 'ListenError'].includes(error.name))) {
    process.stderr.write(`proa: ${error.message}\n`);
    process.exit(1);
  }
  process.stderr.write(`proa: unexpected error, please report it: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
}

const [name, ...args] = process.argv.slice(2);
if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
  process.stdout.write(help());
  process.exit(name === undefined ? 2 : 0);
}
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (!command) fail(new UsageError(`unknown command "${name}"; commands: ${Object.keys(commands).join(', ')}`));
try {
  await command.run(args);
} catch (error) {
  fail(error);
}

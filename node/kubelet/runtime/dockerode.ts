// Loads dockerode without the three packages that it asks for at once and that we never use: an ssh client (engines over ssh)
// and gRPC (build sessions). They are three quarters of its modules: 75 ms of the start and 12 MB.
import { registerHooks } from 'node:module';
import type Docker from 'dockerode';

const unused = new Set(['ssh2', '@grpc/grpc-js', '@grpc/proto-loader']);
const scheme = 'proa-unused:';
/** Any use of what was left out says so. */
const source = `module.exports = new Proxy({}, { get: (_, name) => function () { throw new Error('dockerode was loaded without what "' + String(name) + '" needs'); } });`;

let loading: Promise<typeof Docker> | undefined;

/** Other importers of those packages (etcd3 has gRPC too) get the real ones. */
export function loadDockerode(): Promise<typeof Docker> {
  return loading ??= load();
}

async function load(): Promise<typeof Docker> {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      return unused.has(specifier) && /\/(dockerode|docker-modem)\/lib\//.test(context.parentURL ?? '')
        ? { url: `${scheme}${specifier}`, format: 'commonjs', shortCircuit: true } : next(specifier, context);
    },
    load: (url, context, next) => (url.startsWith(scheme) ? { format: 'commonjs', source, shortCircuit: true } : next(url, context)),
  });
  try {
    return (await import('dockerode')).default;
  } finally {
    hooks.deregister();
  }
}

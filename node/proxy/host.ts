// What the machine must have besides rules: kernel settings, a route for service addresses, no stale conntrack entries.
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { createLogger } from '#machinery/base/log.ts';
import type { ServicePort } from './services.ts';

const log = createLogger('proxy');
const execute = promisify(execFile);
/** Marks routes of ours (`ip route … proto`). */
const routeProtocol = '75';
const routeDevice = 'kube-svc0';

export interface Host {
  prepare(options: { localhostNodePorts: boolean; serviceCidr: string; nodeIp: string }, signal: AbortSignal): Promise<void>;
  /** Forgets UDP flows that a change of endpoints made wrong. */
  forgetFlows(before: readonly ServicePort[], now: readonly ServicePort[], signal: AbortSignal): Promise<void>;
  removeRoutes(signal: AbortSignal): Promise<void>;
}

export function createHost(netns?: string): Host {
  const inside = netns === undefined ? [] : ['ip', 'netns', 'exec', netns];
  let conntrackMissing = false;

  async function command(signal: AbortSignal, ...words: string[]): Promise<string> {
    const [file = '', ...args] = [...inside, ...words];
    return (await execute(file, args, { signal })).stdout;
  }
  async function setting(signal: AbortSignal, path: string, wanted: number, enough: (now: number) => boolean): Promise<void> {
    const file = `/proc/sys/net/${path}`;
    try {
      const now = Number(await command(signal, 'cat', file));
      if (!enough(now)) await command(signal, 'sh', '-c', `echo ${wanted} > ${file}`);
    } catch (error) {
      if (!signal.aborted) log.info('kernel setting not made', { path, wanted, error });
    }
  }
  async function deleteFlows(signal: AbortSignal, ...match: string[]): Promise<void> {
    if (conntrackMissing) return;
    try {
      await command(signal, 'conntrack', '-D', '-p', 'udp', ...match);
    } catch (error) {
      const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
      if (code === 'ENOENT') {
        conntrackMissing = true;
        log.warn('conntrack is not installed: UDP flows to endpoints that are gone stay until they time out');
      } else if (!signal.aborted && !stderr.includes('0 flow entries')) log.warn('conntrack failed', { match: match.join(' '), stderr });
    }
  }

  // Rules replace the destination before the packet leaves; the route only lets it get that far, from a fitting source. It leads to
  // an empty bridge of ours: over lo a refusal of a Service without endpoints does not find back to a sender on the node, and over
  // the pods' bridge they are sent redirects.
  async function ensureRoute({ serviceCidr, nodeIp }: { serviceCidr: string; nodeIp: string }, signal: AbortSignal): Promise<void> {
    if (serviceCidr === '') return;
    const [network = ''] = serviceCidr.split('/');
    const covered = await command(signal, 'ip', 'route', 'get', network).then(() => true, () => false); // no route is an answer
    if (covered) return;
    const there = await command(signal, 'ip', 'link', 'show', 'dev', routeDevice).then(() => true, () => false);
    if (!there) await command(signal, 'ip', 'link', 'add', 'name', routeDevice, 'type', 'bridge');
    await command(signal, 'ip', 'link', 'set', routeDevice, 'up');
    const route = ['route', 'replace', serviceCidr, 'dev', routeDevice, 'proto', routeProtocol];
    try {
      await command(signal, 'ip', ...route, 'src', nodeIp);
    } catch {
      await command(signal, 'ip', ...route); // the address is not there yet
    }
    log.info('route added', { serviceCidr });
  }

  return {
    async prepare({ localhostNodePorts, ...route }, signal) {
      const exactly = (wanted: number) => (now: number): boolean => now === wanted;
      const cores = availableParallelism();
      const maxFlows = Math.max(131_072, 32_768 * cores);
      await Promise.all([
        localhostNodePorts ? setting(signal, 'ipv4/conf/all/route_localnet', 1, exactly(1)) : undefined,
        setting(signal, 'bridge/bridge-nf-call-iptables', 1, exactly(1)),
        setting(signal, 'netfilter/nf_conntrack_max', maxFlows, (now) => now >= maxFlows),
        setting(signal, 'netfilter/nf_conntrack_tcp_timeout_established', 86_400, exactly(86_400)),
        setting(signal, 'netfilter/nf_conntrack_tcp_timeout_close_wait', 3600, exactly(3600)),
        ensureRoute(route, signal),
      ]);
    },

    async forgetFlows(before, now, signal) {
      const old = new Map(before.filter(({ protocol }) => protocol === 'udp').map((port) => [`${port.name} ${port.clusterIp}`, port]));
      for (const port of now) {
        if (port.protocol !== 'udp') continue;
        const previous = old.get(`${port.name} ${port.clusterIp}`);
        old.delete(`${port.name} ${port.clusterIp}`);
        const usable = usableIps(port);
        if (previous) await forgetGone(previous, (ip) => usable.has(ip));
        // Flows that began while nothing answered keep going nowhere, or past the rules.
        if (usable.size > 0 && (!previous || usableIps(previous).size === 0)) {
          for (const ip of addressesOf(port)) await deleteFlows(signal, '--orig-dst', ip, '--dport', String(port.port));
          if (port.nodePort !== 0) await deleteFlows(signal, '--dport', String(port.nodePort));
        }
      }
      for (const port of old.values()) await forgetGone(port, () => false);

      async function forgetGone(port: ServicePort, stays: (ip: string) => boolean): Promise<void> {
        for (const gone of usableIps(port)) {
          if (stays(gone)) continue;
          for (const ip of addressesOf(port)) await deleteFlows(signal, '--orig-dst', ip, '--dst-nat', gone);
          if (port.nodePort !== 0) await deleteFlows(signal, '--dport', String(port.nodePort), '--dst-nat', gone);
        }
      }
    },

    async removeRoutes(signal) {
      try {
        await command(signal, 'ip', 'route', 'flush', 'proto', routeProtocol);
        const there = await command(signal, 'ip', 'link', 'show', 'dev', routeDevice).then(() => true, () => false);
        if (there) await command(signal, 'ip', 'link', 'delete', routeDevice);
      } catch (error) {
        log.warn('routes not removed', { error });
      }
    },
  };
}

function usableIps(port: ServicePort): Set<string> {
  return new Set(port.endpoints.filter((endpoint) => endpoint.ready || (endpoint.serving && endpoint.terminating)).map(({ ip }) => ip));
}
function addressesOf(port: ServicePort): string[] {
  return [port.clusterIp, ...port.externalIps, ...port.loadBalancerIps];
}

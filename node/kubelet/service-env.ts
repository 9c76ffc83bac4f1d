// The variables that tell a container of the Services of its namespace. Upstream: pkg/kubelet/envvars.
import type { Service } from '#machinery/api/object.ts';

const hasIp = (service: Service): boolean => service.spec?.clusterIP !== undefined && service.spec.clusterIP !== '' && service.spec.clusterIP !== 'None';

export function serviceEnvironment(services: readonly Service[], namespace: string, enableServiceLinks: boolean): Map<string, string> {
  const env = new Map<string, string>();
  const master = services.filter((service) => service.metadata.namespace === 'default' && service.metadata.name === 'kubernetes');
  const own = enableServiceLinks ? services.filter((service) => service.metadata.namespace === namespace) : [];
  for (const service of [...master, ...own]) {
    const ports = service.spec?.ports ?? [];
    const [first] = ports;
    if (!hasIp(service) || !first) continue;
    const ip = service.spec?.clusterIP ?? '';
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const prefix = (service.metadata.name ?? '').toUpperCase().replaceAll('-', '_');
    env.set(`${prefix}_SERVICE_HOST`, ip);
    env.set(`${prefix}_SERVICE_PORT`, String(first.port));
    for (const port of ports) if (port.name) env.set(`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll('-', '_')}`, String(port.port));
    for (const [index, port] of ports.entries()) {
      const protocol = port.protocol ?? 'TCP';
      const url = `${protocol.toLowerCase()}://${host}:${port.port}`;
      const name = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
      if (index === 0) env.set(`${prefix}_PORT`, url);
      env.set(name, url);
      env.set(`${name}_PROTO`, protocol.toLowerCase());
      env.set(`${name}_PORT`, String(port.port));
      env.set(`${name}_ADDR`, ip);
    }
  }
  return env;
}

// Kubeconfigs as files: written by hand because the format is small and this is on the path to "ready".
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface KubeconfigInput { server: string; ca: string; cert: string; key: string; user?: string }

export function formatKubeconfig({ server, ca, cert, key, user = 'admin' }: KubeconfigInput): string {
  const base64 = (pem: string): string => Buffer.from(pem).toString('base64');
  return `apiVersion: v1
kind: Config
clusters:
- name: proa
  cluster:
    server: ${server}
    certificate-authority-data: ${base64(ca)}
contexts:
- name: proa
  context:
    cluster: proa
    user: ${user}
current-context: proa
preferences: {}
users:
- name: ${user}
  user:
    client-certificate-data: ${base64(cert)}
    client-key-data: ${base64(key)}
`;
}

/** Whole or not at all, readable by its owner only. */
export function writeKubeconfig(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

// Certificate signing requests for tests.
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** By the tool that most people make them with. */
export function requestOf(key: 'ec' | 'rsa', subject: string, names?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'proa-request-'));
  try {
    const pair = key === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(folder, 'key'), pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    execFileSync('openssl', ['req', '-new', '-key', join(folder, 'key'), '-subj', subject, '-out', join(folder, 'csr'), ...(names ? ['-addext', `subjectAltName=${names}`] : [])], { stdio: 'ignore' });
    return readFileSync(join(folder, 'csr'), 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// How values are encrypted at rest: upstream's providers with upstream's formats, so that either server reads what the other wrote.
// Upstream: apiserver/pkg/storage/value/encrypt.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

export interface Transformer {
  /** What stored values begin with; '' stores them as they are. */
  readonly prefix: string;
  /** `key` is where the value is stored: it is bound to the ciphertext where the cipher can do that. */
  seal(plain: Buffer, key: string): Buffer;
  /** `data` is what follows the prefix. Throws when it was changed or another key sealed it. */
  open(data: Buffer, key: string): Buffer;
}

export const encryptedPrefix = 'k8s:enc:';
export const identity: Transformer = { prefix: '', seal: (plain) => plain, open: (data) => data };

const nonceBytes = 12;
const tagBytes = 16;

/** Nonces are random, so a key is good for some billions of writes: rotate it, or let a key service make keys. */
export function aesgcm(name: string, secret: Buffer): Transformer {
  const algorithm = `aes-${secret.length * 8 as 128 | 192 | 256}-gcm` as const;
  return {
    prefix: `${encryptedPrefix}aesgcm:v1:${name}:`,
    seal(plain, key) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, secret, nonce, { authTagLength: tagBytes }).setAAD(Buffer.from(key));
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(data, key) {
      if (data.length < nonceBytes + tagBytes) throw new Error('the stored data was shorter than the required size');
      const decipher = createDecipheriv(algorithm, secret, data.subarray(0, nonceBytes), { authTagLength: tagBytes }).setAAD(Buffer.from(key));
      decipher.setAuthTag(data.subarray(-tagBytes));
      return Buffer.concat([decipher.update(data.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    },
  };
}

const blockBytes = 16;

/** Nothing tells whether the ciphertext was changed; upstream keeps it for those who have it. */
export function aescbc(name: string, secret: Buffer): Transformer {
  const algorithm = `aes-${secret.length * 8}-cbc`;
  return {
    prefix: `${encryptedPrefix}aescbc:v1:${name}:`,
    seal(plain) {
      const iv = randomBytes(blockBytes);
      const cipher = createCipheriv(algorithm, secret, iv);
      return Buffer.concat([iv, cipher.update(plain), cipher.final()]);
    },
    open(data) {
      if (data.length < 2 * blockBytes || data.length % blockBytes !== 0) throw new Error('the stored data is not a multiple of the block size');
      const decipher = createDecipheriv(algorithm, secret, data.subarray(0, blockBytes));
      return Buffer.concat([decipher.update(data.subarray(blockBytes)), decipher.final()]);
    },
  };
}

const boxNonceBytes = 24;

/** NaCl's secretbox, XSalsa20 and Poly1305; the cipher, which Node has not, is handed in. */
export function secretbox(name: string, secret: Buffer, cipher: typeof import('@noble/ciphers/salsa.js').xsalsa20poly1305): Transformer {
  return {
    prefix: `${encryptedPrefix}secretbox:v1:${name}:`,
    seal(plain) {
      const nonce = randomBytes(boxNonceBytes);
      return Buffer.concat([nonce, cipher(secret, nonce).encrypt(plain)]);
    },
    open(data) {
      if (data.length < boxNonceBytes + tagBytes) throw new Error('the stored data was shorter than the required size');
      return Buffer.from(cipher(secret, data.subarray(0, boxNonceBytes)).decrypt(data.subarray(boxNonceBytes)));
    },
  };
}

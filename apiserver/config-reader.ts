// Reads the files that flags name (policies, configurations): the document, then member by member.

/** The YAML or JSON object, when it is that kind of one of those versions; throws Error with upstream's words otherwise. */
export async function parseConfigFile(text: string, kind: string, apiVersions: readonly string[]): Promise<Record<string, unknown>> {
  const { parse } = await import('yaml');
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new Error(`failed decoding: ${cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause)}`, { cause });
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) throw new Error('failed decoding: the file holds no object');
  const found = document as Record<string, unknown>; // checked right here
  const shown = JSON.stringify(document);
  if (typeof found.kind !== 'string' || found.kind === '') throw new Error(`failed decoding: Object 'Kind' is missing in '${shown}'`);
  if (typeof found.apiVersion !== 'string' || found.apiVersion === '') throw new Error(`failed decoding: Object 'apiVersion' is missing in '${shown}'`);
  if (found.kind !== kind || !apiVersions.includes(found.apiVersion)) {
    throw new Error(`failed decoding: no kind ${JSON.stringify(found.kind)} is registered for version ${JSON.stringify(found.apiVersion)}; wanted is ${kind} of ${apiVersions.join(' or ')}`);
  }
  return found;
}

/** Reads members by their type, with Go's words for those of another; `end` tells `onUnknown` what nobody read. */
export class ConfigReader {
  readonly #object: Record<string, unknown>;
  readonly #type: string;
  readonly #path: string;
  readonly #left: Set<string>;
  readonly #onUnknown: (field: string) => void;
  constructor(object: Record<string, unknown>, type: string, onUnknown: (field: string) => void, path = '') {
    this.#onUnknown = onUnknown;
    this.#object = object;
    this.#type = type;
    this.#path = path;
    this.#left = new Set(Object.keys(object));
  }
  take(...names: string[]): void {
    for (const name of names) this.#left.delete(name);
  }
  string(name: string): string {
    const value = this.#get(name) ?? '';
    return typeof value === 'string' ? value : this.#fail(name, value, 'string');
  }
  boolean(name: string): boolean | undefined {
    const value = this.#get(name) ?? undefined;
    return value === undefined || typeof value === 'boolean' ? value : this.#fail(name, value, 'bool');
  }
  strings(name: string): string[] {
    return this.#list(name, '[]string').map((value) => (typeof value === 'string' ? value : this.#fail(name, value, 'string')));
  }
  objects(name: string): ConfigReader[] {
    return this.#list(name, '[]object').map((value, index) => (typeof value === 'object' && value !== null && !Array.isArray(value)
      ? new ConfigReader(value as Record<string, unknown>, name, this.#onUnknown, `${this.#path}${name}[${index}].`) : this.#fail(name, value, 'object')));
  }
  /** undefined when it is absent or null. */
  object(name: string): ConfigReader | undefined {
    const value = this.#get(name) ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return this.#fail(name, value, 'object');
    return new ConfigReader(value as Record<string, unknown>, name, this.#onUnknown, `${this.#path}${name}.`);
  }
  has(name: string): boolean {
    return (this.#get(name) ?? undefined) !== undefined;
  }
  end(): void {
    for (const name of this.#left) this.#onUnknown(this.#path + name);
  }

  #get(name: string): unknown {
    this.#left.delete(name);
    return Object.hasOwn(this.#object, name) ? this.#object[name] : undefined;
  }
  #list(name: string, type: string): unknown[] {
    const value = this.#get(name) ?? [];
    return Array.isArray(value) ? value as unknown[] : this.#fail(name, value, type);
  }
  #fail(name: string, value: unknown, type: string): never {
    const found = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : value === null ? 'null' : typeof value;
    throw new Error(`failed decoding: json: cannot unmarshal ${found} into Go struct field ${this.#type}.${this.#path}${name} of type ${type}`);
  }
}

// The formats of names, label keys and label values; each check returns upstream's texts for what is wrong, none when it is right.

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const namePart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const value = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const subdomainText = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const labelText = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const namePartText = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const valueText = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

export function dns1123SubdomainErrors(text: string): string[] {
  return [
    ...(Buffer.byteLength(text) > 253 ? ['must be no more than 253 characters'] : []),
    ...(subdomain.test(text) ? [] : [subdomainText]),
  ];
}

export function dns1123LabelErrors(text: string): string[] {
  return [
    ...(Buffer.byteLength(text) > 63 ? ['must be no more than 63 characters'] : []),
    ...(dnsLabel.test(text) ? [] : [subdomain.test(text) ? 'must not contain dots' : labelText]),
  ];
}

/** Keys of labels and annotations, names of finalizers: an optional DNS prefix, a slash, a name. */
export function qualifiedNameErrors(text: string): string[] {
  if (text.length <= 63 && namePart.test(text)) return [];
  const parts = text.split('/');
  const errors: string[] = [];
  let name = text;
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    name = parts[1] ?? '';
    if (prefix === '') errors.push('prefix part must be non-empty');
    else {
      if (Buffer.byteLength(prefix) > 253) errors.push('prefix part must be no more than 253 bytes');
      if (!subdomain.test(prefix)) errors.push(`prefix part ${subdomainText}`);
    }
  } else if (parts.length > 2) {
    return [`a valid label key ${namePartText} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  if (name === '') errors.push('name part must be non-empty');
  else if (Buffer.byteLength(name) > 63) errors.push('name part must be no more than 63 bytes');
  if (!namePart.test(name)) errors.push(`name part ${namePartText}`);
  return errors;
}

export function labelValueErrors(text: string): string[] {
  return [
    ...(Buffer.byteLength(text) > 63 ? ['must be no more than 63 bytes'] : []),
    ...(value.test(text) ? [] : [valueText]),
  ];
}

/** The floor for every name: it has to fit into a path. `prefix`: more will be appended. */
export function pathSegmentErrors(text: string, prefix: boolean): string[] {
  if (!prefix && text === '.') return ["may not be '.'"];
  if (!prefix && text === '..') return ["may not be '..'"];
  return ['/', '%'].filter((character) => text.includes(character)).map((character) => `may not contain '${character}'`);
}

// For tests: reads the Prometheus text format and is strict about it: every sample belongs to a TYPE, no series comes twice,
// histograms are whole.

export interface Sample { name: string; labels: Record<string, string>; value: number }

/** Throws Error with the line that breaks a rule. */
export function parseMetrics(text: string): { types: Map<string, string>; samples: Sample[] } {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  for (const line of text.split('\n')) {
    if (line.trim() === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (type?.[1] !== undefined) {
      if (types.has(type[1])) throw new Error(`a second TYPE: ${line}`);
      types.set(type[1], type[2] ?? '');
      continue;
    }
    const match = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line);
    if (!match) throw new Error(`not a sample: ${line}`);
    const [, name = '', inner = '', shown = ''] = match;
    const labels: Record<string, string> = {};
    for (const [, label = '', value = ''] of inner.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"/g)) {
      if (label in labels) throw new Error(`a label twice: ${line}`);
      labels[label] = value.replaceAll(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char));
    }
    const family = name.replace(/_(bucket|sum|count)$/, '');
    if (!types.has(name) && types.get(family) !== 'histogram' && types.get(family) !== 'summary') throw new Error(`no TYPE before: ${line}`);
    const value = shown === '+Inf' ? Infinity : shown === '-Inf' ? -Infinity : Number(shown);
    if (Number.isNaN(value) && shown !== 'NaN' && shown !== 'Nan') throw new Error(`not a number: ${line}`);
    const key = `${name}{${Object.entries(labels).map((entry) => entry.join('=')).sort().join(';')}}`;
    if (seen.has(key)) throw new Error(`a series twice: ${line}`);
    seen.add(key);
    samples.push({ name, labels, value });
  }
  return { types, samples };
}

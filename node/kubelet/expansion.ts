// $(NAME) in values, commands and arguments: known names are replaced, $$ is one $, everything else stays as it is.
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, kind: string, name: string | undefined) => {
    if (kind === '$') return '$';
    return lookup(name ?? '') ?? whole;
  });
}

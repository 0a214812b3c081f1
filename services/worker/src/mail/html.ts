/** A piece of HTML that is safe as it stands. */
export interface Html {
  readonly html: string;
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** HTML in which every `${value}` is text, whatever it holds, unless it is HTML made by this same tag. */
export function html(strings: TemplateStringsArray, ...values: (string | Html)[]): Html {
  const written = values.map((value) =>
    typeof value === 'string' ? value.replace(/[&<>"']/g, (sign) => ESCAPES[sign] ?? sign) : value.html,
  );
  return { html: strings.reduce((sofar, piece, index) => `${sofar}${written[index - 1]}${piece}`) };
}

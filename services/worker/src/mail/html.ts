/** A piece of HTML that is safe as it stands. */
export interface Html {
  readonly html: string;
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => ESCAPES[sign] ?? sign);

/** HTML in which every `${value}` is text, whatever it holds, unless it is HTML made by this same tag. */
export function html(strings: TemplateStringsArray, ...values: (string | Html)[]): Html {
  const written = values.map((value) => (typeof value === 'string' ? escaped(value) : value.html));
  return { html: strings.reduce((sofar, piece, index) => `${sofar}${written[index - 1]}${piece}`) };
}

/** Pieces one after the other. */
export const joined = (pieces: Html[]): Html => ({ html: pieces.map((piece) => piece.html).join('') });

/**
 * Text in which a mail program finds no address to turn into a link of its own: a name, a note or the user agent of a
 * stranger must not become something to click. What is read and copied stays the same.
 */
export function unlinked(text: string): Html {
  const parts = text.split(/(?<=\S)([.:@])(?=\S)/);
  return joined(parts.map((part, index) => (index % 2 === 1 ? html`<span>${part}</span>` : html`${part}`)));
}

/** Something that the person at the keyboard can put right; its message is the one line that says how. */
export class SetupError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SetupError';
  }
}

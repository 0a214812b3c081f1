/** Where a process reads the time, so that a test can move it. */
export type Clock = () => Date;

export const systemClock: Clock = () => new Date();

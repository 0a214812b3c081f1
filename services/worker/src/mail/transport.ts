export interface OutgoingMail {
  from: string;
  to: string;
  subject: string;
  text: string;
  html: string;
  messageId: string;
  /** Of the job, so that what a provider tells of the mail can be found here. */
  jobId: string;
}

export interface Sending {
  /** Aborted when the mail has had its time. */
  signal: AbortSignal;
  /** Called right before the mail could be taken; when it throws, the mail must not be sent. */
  commit(): Promise<void>;
}

/** Sends a mail to one recipient. Its errors say by `failed` what became of the mail. */
export interface Transport {
  send(mail: OutgoingMail, sending: Sending): Promise<void>;
}

/** How long each step of a sending may take. */
export const STEP_TIMEOUT_MS = 10_000;

/** Set by automatic mails, so that no vacation responder answers them (RFC 3834, section 5). */
export const AUTOMATIC = { 'Auto-Submitted': 'auto-generated' };

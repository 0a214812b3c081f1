import type { Command } from '../context.ts';
import { renewCertificate } from '../deploy/certificate.ts';
import { locked } from '../deploy/under-lock.ts';

/** `make renew-certificate`: nginx serves what lies in `tls/`. To be run by whatever renews it. */
export const command: Command = async (context, variables) => {
  const { report } = context;
  await locked(context, { command: 'renew-certificate' }, variables, async () => {
    const { fingerprint256, validTo } = await report.step('renew-certificate', 'Serve the new certificate', () =>
      renewCertificate(context),
    );
    report.show('certificate', { fingerprint: fingerprint256, until: validTo }, [
      `Served until ${validTo}, as this host's clients see it: ${fingerprint256}`,
    ]);
  });
};

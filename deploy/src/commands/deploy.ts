import type { Command } from '../context.ts';
import { deploy } from '../deploy/machine.ts';

/** `make deploy`; with PLAN=1 it only says what it would do. */
export const command: Command = async (context, variables) => {
  if (!variables.plan) return deploy(context, variables);
  const plan = await import('./deploy-plan.ts');
  return plan.command(context, variables);
};

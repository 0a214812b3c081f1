import { createHash } from 'node:crypto';

// Nothing that is dangerous or for operators, nor libraries of functions, which nobody here uses. INFO: ioredis asks
// whether Redis is ready, BullMQ for the eviction policy. CLIENT LIST: BullMQ's workers are counted by it.
const APPLICATION =
  '~* &* +@all -@dangerous -@admin -function -fcall -fcall_ro -script|debug -script|kill -script|flush +info';
const APPLICATION_MORE = '+client|list +client|setname +client|setinfo';
// What redis_exporter reads with its defaults; SLOWLOG GET is not among it, since it repeats arguments.
const MONITOR = 'resetkeys resetchannels -@all +ping +info +client|setname +config|get +slowlog|len +latency|latest';

/**
 * The users of Redis (`aclfile`): `default` for the processes, `monitor` for health checks and the exporter. Only the
 * hashes of the passwords stand in it.
 */
export function redisUsers(password: string, monitorPassword: string): string {
  return [
    `user default on sanitize-payload #${sha256(password)} ${APPLICATION} ${APPLICATION_MORE}`,
    `user monitor on sanitize-payload #${sha256(monitorPassword)} ${MONITOR} +latency|histogram`,
    '',
  ].join('\n');
}

/** Whether a user of the file has this password. */
export function knowsPassword(acl: string, user: 'default' | 'monitor', password: string): boolean {
  const line = acl.split('\n').find((text) => text.startsWith(`user ${user} `));
  return line?.split(' ').includes(`#${sha256(password)}`) ?? false;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

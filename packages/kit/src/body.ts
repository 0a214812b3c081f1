import type { IncomingMessage } from 'node:http';
import { AppError } from './errors.ts';

const JSON_TYPE = /^application\/json\s*(;\s*charset=utf-8\s*)?$/i;

/**
 * Reads a JSON body of at most `limit` bytes. Compressed bodies are refused, so that none can grow. Throws
 * `request.unsupported_media_type`, `request.too_large` or `request.malformed`.
 */
export async function readJson(req: IncomingMessage, limit: number): Promise<{ value: unknown; bytes: Buffer }> {
  const encoding = req.headers['content-encoding'];
  if (!JSON_TYPE.test(req.headers['content-type'] ?? '') || (encoding && encoding !== 'identity'))
    throw new AppError('request.unsupported_media_type', 'Send application/json in UTF-8, not compressed.');
  const bytes = await readBytes(req, limit);
  try {
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), bytes };
  } catch (error) {
    throw new AppError('request.malformed', 'The body is not valid JSON.', { cause: error });
  }
}

function readBytes(req: IncomingMessage, limit: number): Promise<Buffer> {
  const tooLarge = () =>
    new AppError('request.too_large', `The body may have at most ${limit} bytes.`, {
      headers: { connection: 'close' },
    });
  if (Number(req.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else {
        req.pause();
        reject(tooLarge());
      }
    });
    req.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    req.on('error', reject);
    req.on('close', () => reject(new AppError('request.malformed', 'The body ended early.')));
  });
}

/** Where the queue board is; its files and actions are below. */
export const BOARD_PATH = '/admin/queues';

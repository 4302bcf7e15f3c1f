/** Sizes in bytes. */
export const kib = 1024;
export const mib = 1024 * kib;
export const gib = 1024 * mib;

/**
 * Wraps a Next.js configuration so that this package, which has a native addon, is loaded by Node rather than bundled.
 *
 * @param config - Next.js configuration.
 * @returns The configuration with `ferrochrome` among `serverExternalPackages`.
 */
export function withChroma<Config extends object>(
  config?: Config,
): Config & {
  /** Packages that Node loads itself. */
  serverExternalPackages: string[];
} {
  const given = (config as { serverExternalPackages?: unknown } | undefined)?.serverExternalPackages;
  const external: string[] = Array.isArray(given) ? given : [];
  return { ...(config as Config), serverExternalPackages: [...new Set([...external, "ferrochrome"])] };
}

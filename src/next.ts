/**
 * Wraps a Next.js configuration so that this package, which has a native addon, is loaded by Node rather than bundled.
 *
 * @param config - Next.js configuration.
 * @returns The configuration with `ferrochrome` among `serverExternalPackages`.
 */
export function withChroma(config: Record<string, unknown> = {}): Record<string, unknown> {
  const external = Array.isArray(config.serverExternalPackages) ? config.serverExternalPackages : [];
  return { ...config, serverExternalPackages: [...new Set([...external, "ferrochrome"])] };
}

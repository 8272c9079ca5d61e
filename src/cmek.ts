/** Who keeps an encryption key. */
export enum CmekProvider {
  /** Google Cloud. */
  GCP = "gcp",
}

/**
 * A customer-managed encryption key. It exists for source compatibility: the embedded database refuses a schema that has
 * one, because it does not encrypt.
 */
export class Cmek {
  private static readonly gcpPattern = /^projects\/.+\/locations\/.+\/keyRings\/.+\/cryptoKeys\/.+$/;

  /** Who keeps the key. */
  readonly provider: CmekProvider;
  /** The provider's name of the key. */
  readonly resource: string;

  private constructor(provider: CmekProvider, resource: string) {
    this.provider = provider;
    this.resource = resource;
  }

  /**
   * A key in Google Cloud KMS.
   *
   * @param resource - `projects/…/locations/…/keyRings/…/cryptoKeys/…`
   * @returns The key.
   */
  static gcp(resource: string): Cmek {
    return new Cmek(CmekProvider.GCP, resource);
  }

  /**
   * Whether the name of the key has the provider's form. Says nothing about whether the key exists.
   *
   * @returns True when it has.
   */
  validatePattern(): boolean {
    return Cmek.gcpPattern.test(this.resource);
  }

  /**
   * The key as JSON.
   *
   * @returns The resource under the provider's name.
   */
  toJSON(): Record<string, unknown> {
    return { [this.provider]: this.resource };
  }

  /**
   * Reads what {@link Cmek.toJSON} wrote.
   *
   * @param data - The resource under the provider's name.
   * @returns The key.
   * @throws Error when the provider is not known.
   */
  static fromJSON(data: Record<string, unknown>): Cmek {
    if (typeof data.gcp === "string") return Cmek.gcp(data.gcp);
    throw new Error(`Unsupported or missing CMEK provider in data: ${JSON.stringify(data)}`);
  }
}

/**
 * The error classes. Those that Chroma's client has carry Chroma's names and, like there, extend `Error` directly; those
 * that only an embedded database can meet are ours and carry a stable `code`.
 */

/** An error named by the server. The embedded database does not raise it; it exists for source compatibility. */
export class ChromaError extends Error {
  /**
   * @param name - Name of the error, shown before its message.
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(name: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = name;
  }
}

/** The database cannot be opened: its folder cannot be made, read or written. The message names it. */
export class ChromaConnectionError extends Error {
  /** Name of the class. */
  override name = "ChromaConnectionError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** The database failed on a valid request: an I/O error, something not offered, or a bug. */
export class ChromaServerError extends Error {
  /** Name of the class. */
  override name = "ChromaServerError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** The request breaks a rule of the database. Nothing was changed. */
export class ChromaClientError extends Error {
  /** Name of the class. */
  override name = "ChromaClientError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** Authentication is missing. The embedded database does not raise it; it exists for source compatibility. */
export class ChromaUnauthorizedError extends Error {
  /** Chroma's own name for this error, which differs from the class name. */
  override name = "ChromaAuthError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** Access is denied. The embedded database does not raise it; it exists for source compatibility. */
export class ChromaForbiddenError extends Error {
  /** Name of the class. */
  override name = "ChromaForbiddenError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** The collection, database or tenant does not exist. `cause` says which. */
export class ChromaNotFoundError extends Error {
  /** Name of the class. */
  override name = "ChromaNotFoundError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** An argument is wrong; found before the database was asked, so nothing was changed. */
export class ChromaValueError extends Error {
  /** Name of the class. */
  override name = "ChromaValueError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** A collection is not valid. The embedded database does not raise it; it exists for source compatibility. */
export class InvalidCollectionError extends Error {
  /** Name of the class. */
  override name = "InvalidCollectionError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** An argument is not valid. The embedded database does not raise it; it exists for source compatibility. */
export class InvalidArgumentError extends Error {
  /** Name of the class. */
  override name = "InvalidArgumentError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** The collection, database or tenant exists already. `cause` says which. */
export class ChromaUniqueError extends Error {
  /** Name of the class. */
  override name = "ChromaUniqueError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** A quota is used up. The embedded database does not raise it; it exists for source compatibility. */
export class ChromaQuotaExceededError extends Error {
  /** Name of the class. */
  override name = "ChromaQuotaExceededError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** Too many requests. The embedded database does not raise it; it exists for source compatibility. */
export class ChromaRateLimitError extends Error {
  /** Name of the class. */
  override name = "ChromaRateLimitError";
  /**
   * @param message - What went wrong.
   * @param cause - What went wrong underneath.
   */
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** Another process holds the database for writing. The message names its process id. */
export class DatabaseLockedError extends Error {
  /** Name of the class. */
  override name = "DatabaseLockedError";
  /** Stable code of this error. */
  readonly code = "LOCKED";
}

/** A file of the database is damaged. The message names the file. */
export class DatabaseCorruptedError extends Error {
  /** Name of the class. */
  override name = "DatabaseCorruptedError";
  /** Stable code of this error. */
  readonly code = "CORRUPTED";
}

/** The volume has less space than a compaction needs. The message says how much that is; nothing was changed. */
export class DiskSpaceError extends Error {
  /** Name of the class. */
  override name = "DiskSpaceError";
  /** Stable code of this error. */
  readonly code = "NO_SPACE";
}

/** The client was closed before the call. */
export class DatabaseClosedError extends Error {
  /** Name of the class. */
  override name = "DatabaseClosedError";
  /** Stable code of this error. */
  readonly code = "CLOSED";
}

/**
 * The folder of a database lies on a network file system, where locks do not hold. The message names the type. `readOnly: true` reads
 * it, `allowNetworkFileSystem: true` opens it all the same.
 */
export class UnsafeFileSystemError extends Error {
  /** Name of the class. */
  override name = "UnsafeFileSystemError";
  /** Stable code of this error. */
  readonly code = "UNSAFE_FILE_SYSTEM";
}

/** A write through a client that was opened with `readOnly: true`. */
export class ReadOnlyError extends Error {
  /** Name of the class. */
  override name = "ReadOnlyError";
  /** Stable code of this error. */
  readonly code = "READ_ONLY";
}

/**
 * A file of an imported directory asks for what is never done for a file, such as running code. Nothing of it was done, and
 * nothing was imported. The message names the file.
 */
export class UntrustedFileError extends Error {
  /** Name of the class. */
  override name = "UntrustedFileError";
  /** Stable code of this error. */
  readonly code = "UNTRUSTED";
}

/** The native addon for this platform is not installed or does not load. The message says how to mend it. */
export class BindingLoadError extends Error {
  /** Name of the class. */
  override name = "BindingLoadError";
  /** Stable code of this error. */
  readonly code = "BINDING_LOAD";
}

/**
 * Makes the error class that goes with a server's error name.
 *
 * @param type - `"InvalidCollection"` or `"InvalidArgumentError"`.
 * @param message - Message of the error.
 * @returns The error, or undefined when the name is not known.
 */
export function createErrorByType(
  type: string,
  message: string,
): InvalidCollectionError | InvalidArgumentError | undefined {
  switch (type) {
    case "InvalidCollection":
      return new InvalidCollectionError(message);
    case "InvalidArgumentError":
      return new InvalidArgumentError(message);
    default:
      return undefined;
  }
}

/** What a Chroma server would answer to a request that an error stands for. */
export interface Refusal {
  /** HTTP status. */
  status: 400 | 422;
  /** The message of its body. */
  message: string;
}

const refusals = new WeakMap<Error, Refusal>();

/**
 * What a Chroma server would answer in the place of this error, if it is one of {@link badRequest} or {@link unprocessable}.
 *
 * @internal
 */
export function refusalOf(error: unknown): Refusal | undefined {
  return error instanceof Error ? refusals.get(error) : undefined;
}

/**
 * What a Chroma server would answer with status 400.
 *
 * @internal
 */
export function badRequest(route: string, message: string, cause?: unknown): ChromaClientError {
  const error = new ChromaClientError(`Bad request to ${route} with status: ${message}`, cause);
  refusals.set(error, { status: 400, message });
  return error;
}

/**
 * What a Chroma server would answer with status 422 to a value of a wrong shape or type.
 *
 * @internal
 */
export function unprocessable(what: string): ChromaClientError {
  const message = `Failed to deserialize the JSON body into the target type: ${what}`;
  const error = new ChromaClientError(message);
  refusals.set(error, { status: 422, message });
  return error;
}

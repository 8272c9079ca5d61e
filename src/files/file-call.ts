/** Calls of native code about files. */
import { ChromaValueError } from "../errors.js";
import { binding, type NativeCancel, parseFailure, toError } from "../native.js";

/** Awaits a call; what is wrong with a file is an error of the value that was given. */
export async function fileCall<T>(route: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (failure) {
    const cause = parseFailure(failure);
    if (cause?.code === "INVALID_ARGUMENT") throw new ChromaValueError(cause.message, cause);
    throw toError(failure, route);
  }
}

/** Runs `use` with what cancels native work when the signal is aborted; it rejects with the signal's reason then. */
export async function cancelledBy<T>(
  signal: AbortSignal | undefined,
  use: (cancel: NativeCancel) => Promise<T>,
): Promise<T> {
  const cancel = new (binding().NativeCancel)();
  const onAbort = (): void => cancel.cancel();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await use(cancel);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

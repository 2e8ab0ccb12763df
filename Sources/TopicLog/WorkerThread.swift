internal import Glibc

/// A thread of its own, for work that others must not wait for.
package struct WorkerThread: Sendable {
    private let thread: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a thread, which owns what `run` holds until it returns.
    /// - Throws: when there are no more threads; with the thread's name.
    package init(_ name: String, _ run: @escaping @Sendable () -> Void) throws(LogError) {
        var started = pthread_t()
        let context = unsafe Unmanaged.passRetained(Body(run))
        let result = unsafe pthread_create(
            &started, nil,
            { context in
                unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            unsafe context.release()
            throw LogError(errno: result, "starting", name)
        }
        thread = started
    }

    /// Waits for its end. Once.
    package func join() { pthread_join(thread, nil) }
}

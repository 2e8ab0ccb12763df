import Glibc

/// Runs `body` on a thread of its own: a dispatch queue's comes from a pool, which brokers that sleep would use up.
func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    var thread = pthread_t()
    let context = unsafe Unmanaged.passRetained(Body(body))
    let result = unsafe pthread_create(
        &thread, nil,
        { context in
            unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    precondition(result == 0, "cannot start a thread")
    pthread_detach(thread)
}

internal import CLinux
internal import Glibc

/// An eventfd: wakes a thread that reads it, or polls its descriptor.
package final class EventCounter: Sendable {
    /// Readable when something was signalled. Open until `deinit`.
    package let descriptor: Int32

    /// Whether ``drain()`` waits for a signal.
    /// - Throws: when there are no more descriptors.
    package init(isBlocking: Bool) throws(LogError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC) | (isBlocking ? 0 : Int32(EFD_NONBLOCK)))
        guard descriptor >= 0 else { throw LogError(errno: errno, "creating", "an eventfd") }
    }

    deinit { close(descriptor) }

    /// Adds one. It cannot fail: the counter never nears its limit.
    package func signal() {
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, 8)
    }

    /// Takes all signals.
    package func drain() {
        var count: UInt64 = 0
        while unsafe read(descriptor, &count, 8) < 0 && errno == EINTR {}
    }
}

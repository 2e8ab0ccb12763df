/// How one work request of a send queue is done. Source: `ibv_post_send(3)`.
public struct SendFlags: OptionSet, Sendable {
    /// Bits of `enum ibv_send_flags`.
    public let rawValue: UInt32
    /// Any bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Waits for every RDMA READ and atomic posted before it.
    public static let fence = SendFlags(rawValue: 1)
    /// Makes a completion; without it a request completes silently, with the next one that has it.
    public static let signaled = SendFlags(rawValue: 2)
    /// Wakes a receiver that armed its queue for solicited events only.
    public static let solicited = SendFlags(rawValue: 4)
    /// The bytes are copied while posting. A chain sets it by itself; a ``WorkRequestWriter`` must be told when the
    /// request begins, since some devices (rxe) look at it then.
    public static let inline = SendFlags(rawValue: 8)
}

/// What one work request of a send queue does. Source: `ibv_post_send(3)`.
public enum SendOperation: Sendable {
    /// A message, into the peer's next receive.
    case send
    /// A message with 32 bits that arrive in the completion.
    case sendWithImmediate(UInt32)
    /// A message that also invalidates a memory window, or region, of the peer's: no request may use it afterwards.
    case sendWithInvalidate(remoteKey: UInt32)
    /// A message to any datagram queue pair.
    case sendTo(DatagramDestination)
    /// A message to any datagram queue pair, with 32 bits.
    case sendToWithImmediate(DatagramDestination, UInt32)
    /// Copies into the peer's memory; the peer sees nothing of it.
    case write(RemoteSlice)
    /// Copies into the peer's memory, and takes one of its receives to say so.
    case writeWithImmediate(RemoteSlice, UInt32)
    /// Copies from the peer's memory.
    case read(RemoteSlice)
    /// Replaces eight bytes of the peer's if they equal `compare`; the old ones land in the element.
    case compareAndSwap(RemoteSlice, compare: UInt64, swap: UInt64)
    /// Adds to eight bytes of the peer's; the old ones land in the element.
    case fetchAndAdd(RemoteSlice, UInt64)
    /// Invalidates a memory window (type 2) of our own.
    case localInvalidate(remoteKey: UInt32)
    /// Binds a memory window (type 2) to a part of a region.
    case bindWindow(WindowBinding)
}

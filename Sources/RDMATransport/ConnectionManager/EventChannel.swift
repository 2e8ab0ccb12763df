internal import CVerbs
import Glibc

/// Reports what happens to connections. Verbs: `rdma_create_event_channel(3)`, `rdma_get_cm_event(3)`.
@safe final class EventChannel {
    let raw: UnsafeMutablePointer<rdma_event_channel>

    init() throws(FabricError) {
        guard let raw = unsafe rdma_create_event_channel() else {
            throw FabricError(
                .noDevice, operation: "rdma_create_event_channel", errorNumber: errno,
                "no RDMA connection manager here (/dev/infiniband/rdma_cm): is an RDMA driver loaded?")
        }
        unsafe self.raw = raw
        let flags = unsafe fcntl(raw.pointee.fd, F_GETFL)
        _ = unsafe fcntl(raw.pointee.fd, F_SETFL, flags | O_NONBLOCK)
    }

    deinit { unsafe rdma_destroy_event_channel(raw) }

    var descriptor: Int32 { unsafe raw.pointee.fd }

    /// The next event, or nil. It is acknowledged before it is returned, so that destroying its id never blocks.
    func next() -> ConnectionEvent? {
        var event: UnsafeMutablePointer<rdma_cm_event>?
        guard unsafe rdma_get_cm_event(raw, &event) == 0, let event = unsafe event else { return nil }
        defer { unsafe rdma_ack_cm_event(event) }
        var count: UInt8 = 0
        let data = unsafe cverbs_private_data(event, &count)
        var privateData: [UInt8] = []
        let kind = unsafe event.pointee.event
        let carriesData = [RDMA_CM_EVENT_CONNECT_REQUEST, RDMA_CM_EVENT_ESTABLISHED, RDMA_CM_EVENT_REJECTED].contains(
            kind)
        if carriesData, let data = unsafe data {
            privateData = unsafe Array(UnsafeRawBufferPointer(start: data, count: Int(count)))
        }
        return unsafe ConnectionEvent(
            kind: kind, identifier: event.pointee.id, status: event.pointee.status, privateData: privateData)
    }
}

/// Something that happened to a connection.
@safe struct ConnectionEvent {
    let kind: rdma_cm_event_type
    let identifier: UnsafeMutablePointer<rdma_cm_id>
    /// An errno value (negative), or the peer's rejection reason.
    let status: Int32
    let privateData: [UInt8]

    /// The number that the user gave the identifier.
    var tag: UInt64 { unsafe UInt64(UInt(bitPattern: identifier.pointee.context)) }
}

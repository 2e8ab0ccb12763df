internal import CVerbs

/// Where a queue pair is in its life. Source: `ibv_modify_qp(3)`.
public struct QueuePairState: Hashable, Sendable, CustomStringConvertible {
    /// The number of `enum ibv_qp_state`.
    public let rawValue: UInt32
    /// A state of any number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Just made.
    public static let reset = QueuePairState(rawValue: 0)
    /// Has a port; receives may be posted.
    public static let initialized = QueuePairState(rawValue: 1)
    /// Receives.
    public static let readyToReceive = QueuePairState(rawValue: 2)
    /// Receives and sends.
    public static let readyToSend = QueuePairState(rawValue: 3)
    /// Finishes what is posted and sends nothing new.
    public static let sendQueueDrained = QueuePairState(rawValue: 4)
    /// An unconnected queue pair whose send queue failed.
    public static let sendQueueError = QueuePairState(rawValue: 5)
    /// Everything posted comes back flushed.
    public static let error = QueuePairState(rawValue: 6)
    /// The state's usual abbreviation.
    public var description: String {
        let names = ["RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR"]
        return Int(rawValue) < names.count ? names[Int(rawValue)] : "state \(rawValue)"
    }
}

/// The peer of a connected queue pair, and how to reach it.
public struct QueuePairPath: Sendable {
    /// The peer's queue pair.
    public var peerQueuePair: UInt32
    /// The peer's port.
    public var peerAddress: GID
    /// Our port, from 1.
    public var port = 1
    /// Place of our own address in the port's table: of the same kind as the peer's.
    public var localGIDIndex: Int
    /// Path MTU in bytes, at most the port's: 256, 512, 1024, 2048 or 4096.
    public var mtuBytes = 1024
    /// Number of the first packet that we expect: the peer's ``QueuePairSending/packetSequence``.
    public var packetSequence: UInt32 = 0
    /// RDMA READs and atomics of the peer's served at once (RC).
    public var readsServedMax = 1
    /// How long the peer waits that met no receive (RC): 12 is 0.64 ms; 0 is 655 ms.
    public var receiverNotReadyTimerCode: UInt8 = 12
    /// Hops allowed on the way.
    public var hopLimit: UInt8 = 64

    /// The peer's queue pair at its address; `localGIDIndex` as ``DeviceContext/selectGID(port:)`` gives it.
    public init(peerQueuePair: UInt32, peerAddress: GID, localGIDIndex: Int) {
        self.peerQueuePair = peerQueuePair
        self.peerAddress = peerAddress
        self.localGIDIndex = localGIDIndex
    }
}

/// How a queue pair sends.
public struct QueuePairSending: Sendable {
    /// Number of the first packet: any 24 bits.
    public var packetSequence: UInt32 = 0
    /// Time without an acknowledgement after which a packet is sent again (RC): 4.096 µs × 2^code; 14 is 67 ms.
    public var acknowledgementTimeoutCode: UInt8 = 14
    /// How often a packet is sent again before the queue pair fails (RC): 0...7. Soft-RoCE takes 7 for "for ever".
    public var retryCount: UInt8 = 6
    /// How often a packet is sent again that met no receive (RC): 0...6; 7 waits for ever.
    public var receiverNotReadyRetryCount: UInt8 = 6
    /// RDMA READs and atomics of ours under way at once (RC).
    public var readsInFlightMax = 1

    /// The defaults.
    public init() {}
}

extension QueuePair {
    /// Reset → initialized: takes a port. Receives may be posted from here on.
    /// - Parameters:
    ///   - access: What peers of a connected queue pair may do at most, whatever their keys allow.
    ///   - queueKey: What datagrams must carry to be received (UD).
    public borrowing func initialize(
        port: Int = 1, access: MemoryAccess = [], partitionIndex: Int = 0, queueKey: UInt32 = 0
    ) throws(FabricError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_INIT
        attributes.port_num = UInt8(port)
        attributes.pkey_index = UInt16(partitionIndex)
        var mask = IBV_QP_STATE.rawCode | IBV_QP_PKEY_INDEX.rawCode | IBV_QP_PORT.rawCode
        if options.kind == .unreliableDatagram {
            attributes.qkey = queueKey
            mask |= IBV_QP_QKEY.rawCode
        } else {
            attributes.qp_access_flags = UInt32(access.rawValue)
            mask |= IBV_QP_ACCESS_FLAGS.rawCode
        }
        try modify(&attributes, mask, "initialize")
    }

    /// Initialized → ready to receive, from one peer (RC, UC).
    public borrowing func connect(to path: QueuePairPath) throws(FabricError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_RTR
        attributes.path_mtu = ibv_mtu(numericCast((path.mtuBytes >> 7).trailingZeroBitCount))
        attributes.dest_qp_num = path.peerQueuePair
        attributes.rq_psn = path.packetSequence & 0xff_ffff
        attributes.ah_attr = path.peerAddress.addressVector(
            port: path.port, localGIDIndex: path.localGIDIndex, hopLimit: path.hopLimit)
        var mask =
            IBV_QP_STATE.rawCode | IBV_QP_AV.rawCode | IBV_QP_PATH_MTU.rawCode | IBV_QP_DEST_QPN.rawCode
            | IBV_QP_RQ_PSN.rawCode
        if options.kind != .unreliableConnection {
            attributes.max_dest_rd_atomic = UInt8(path.readsServedMax)
            attributes.min_rnr_timer = path.receiverNotReadyTimerCode
            mask |= IBV_QP_MAX_DEST_RD_ATOMIC.rawCode | IBV_QP_MIN_RNR_TIMER.rawCode
        }
        try modify(&attributes, mask, "connect to queue pair \(path.peerQueuePair) at \(path.peerAddress)")
    }

    /// Initialized → ready to receive, from anybody (UD).
    public borrowing func readyToReceive() throws(FabricError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_RTR
        try modify(&attributes, IBV_QP_STATE.rawCode, "make ready to receive")
    }

    /// Ready to receive → ready to send.
    public borrowing func readyToSend(_ sending: QueuePairSending = QueuePairSending()) throws(FabricError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_RTS
        attributes.sq_psn = sending.packetSequence & 0xff_ffff
        var mask = IBV_QP_STATE.rawCode | IBV_QP_SQ_PSN.rawCode
        if options.kind != .unreliableConnection && options.kind != .unreliableDatagram {
            attributes.timeout = sending.acknowledgementTimeoutCode
            attributes.retry_cnt = sending.retryCount
            attributes.rnr_retry = sending.receiverNotReadyRetryCount
            attributes.max_rd_atomic = UInt8(sending.readsInFlightMax)
            mask |=
                IBV_QP_TIMEOUT.rawCode | IBV_QP_RETRY_CNT.rawCode | IBV_QP_RNR_RETRY.rawCode
                | IBV_QP_MAX_QP_RD_ATOMIC.rawCode
        }
        try modify(&attributes, mask, "make ready to send")
    }

    /// Any state → reset: what is posted is forgotten, without completions.
    public borrowing func reset() throws(FabricError) { try move(IBV_QPS_RESET, "reset") }

    /// Ready to send → drained: what is posted completes, and nothing new is sent.
    public borrowing func drainSendQueue() throws(FabricError) { try move(IBV_QPS_SQD, "drain") }

    /// Drained → ready to send again. Wait for ``DeviceEvent/Kind/sendQueueDrained`` first.
    public borrowing func resumeSending() throws(FabricError) { try move(IBV_QPS_RTS, "resume") }

    /// Any state → error: everything posted comes back flushed.
    public borrowing func moveToError() { try? move(IBV_QPS_ERR, "end") }

    /// Sets how long a peer waits that met no receive (RC): 12 is 0.64 ms; librdmacm leaves 0, which is 655 ms.
    public borrowing func setReceiverNotReadyTimer(code: UInt8) throws(FabricError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_RTS
        attributes.min_rnr_timer = code
        try modify(&attributes, IBV_QP_STATE.rawCode | IBV_QP_MIN_RNR_TIMER.rawCode, "set the timer")
    }

    /// What it is set to. Asks the kernel; not for the hot path. Verb: `ibv_query_qp(3)`.
    public borrowing func attributes() throws(FabricError) -> QueuePairAttributes {
        var attributes = ibv_qp_attr()
        var made = unsafe ibv_qp_init_attr()
        let mask =
            IBV_QP_STATE.rawCode | IBV_QP_CAP.rawCode | IBV_QP_DEST_QPN.rawCode | IBV_QP_PATH_MTU.rawCode
            | IBV_QP_TIMEOUT.rawCode | IBV_QP_RETRY_CNT.rawCode | IBV_QP_RNR_RETRY.rawCode
            | IBV_QP_MIN_RNR_TIMER.rawCode | IBV_QP_MAX_QP_RD_ATOMIC.rawCode | IBV_QP_MAX_DEST_RD_ATOMIC.rawCode
        let result = unsafe ibv_query_qp(raw, &attributes, mask, &made)
        try VerbsCall.check("ibv_query_qp", result, "cannot query queue pair \(number)")
        return QueuePairAttributes(
            state: QueuePairState(rawValue: UInt32(attributes.qp_state.rawCode)),
            peerQueuePair: attributes.dest_qp_num, mtuBytes: 128 << Int(attributes.path_mtu.rawCode),
            acknowledgementTimeoutCode: attributes.timeout, retryCount: attributes.retry_cnt,
            receiverNotReadyRetryCount: attributes.rnr_retry, receiverNotReadyTimerCode: attributes.min_rnr_timer,
            readsInFlightMax: Int(attributes.max_rd_atomic), readsServedMax: Int(attributes.max_dest_rd_atomic),
            depths: QueuePairDepths(send: Int(attributes.cap.max_send_wr), receive: Int(attributes.cap.max_recv_wr)))
    }

    /// Where it is in its life.
    public borrowing func state() throws(FabricError) -> QueuePairState { try attributes().state }

    /// Receives the group's datagrams too (UD). Verb: `ibv_attach_mcast(3)`.
    public borrowing func attach(to group: GID) throws(FabricError) {
        var raw = group.raw
        let result = unsafe ibv_attach_mcast(self.raw, &raw, 0)
        try VerbsCall.check("ibv_attach_mcast", result, "cannot attach to the multicast group \(group)")
    }

    /// Ends ``attach(to:)``; before the queue pair goes.
    public borrowing func detach(from group: GID) throws(FabricError) {
        var raw = group.raw
        let result = unsafe ibv_detach_mcast(self.raw, &raw, 0)
        try VerbsCall.check("ibv_detach_mcast", result, "cannot detach from the multicast group \(group)")
    }

    private borrowing func move(_ state: ibv_qp_state, _ what: String) throws(FabricError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = state
        try modify(&attributes, IBV_QP_STATE.rawCode, what)
    }

    private borrowing func modify(
        _ attributes: inout ibv_qp_attr, _ mask: Int32, _ what: @autoclosure () -> String
    ) throws(FabricError) {
        let result = unsafe ibv_modify_qp(raw, &attributes, mask)
        try VerbsCall.check("ibv_modify_qp", result, "cannot \(what()): queue pair \(number)")
    }
}

/// What a queue pair is set to.
public struct QueuePairAttributes: Sendable {
    /// Where it is in its life.
    public let state: QueuePairState
    /// The peer's number, of a connected one.
    public let peerQueuePair: UInt32
    /// Path MTU in bytes.
    public let mtuBytes: Int
    /// See ``QueuePairSending/acknowledgementTimeoutCode``.
    public let acknowledgementTimeoutCode: UInt8
    /// See ``QueuePairSending/retryCount``.
    public let retryCount: UInt8
    /// See ``QueuePairSending/receiverNotReadyRetryCount``.
    public let receiverNotReadyRetryCount: UInt8
    /// See ``QueuePairPath/receiverNotReadyTimerCode``.
    public let receiverNotReadyTimerCode: UInt8
    /// RDMA READs and atomics of ours under way at once.
    public let readsInFlightMax: Int
    /// RDMA READs and atomics of the peer's served at once.
    public let readsServedMax: Int
    /// What the device gave: at least what was asked for.
    public let depths: QueuePairDepths
}

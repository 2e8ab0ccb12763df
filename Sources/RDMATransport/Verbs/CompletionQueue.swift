internal import CVerbs
import Glibc

/// Where finished work is reported, with a channel to sleep on. Verbs: `ibv_create_cq(3)`, `ibv_poll_cq(3)`,
/// `ibv_req_notify_cq(3)`, `ibv_get_cq_event(3)`.
///
/// Keeps its device open; kept alive by its queue pairs.
/// - Threading: one thread polls.
@safe public final class CompletionQueue {
    let raw: UnsafeMutablePointer<ibv_cq>
    /// Set when the queue was made with ``CompletionFields``.
    let extended: UnsafeMutablePointer<ibv_cq_ex>?
    private let channel: UnsafeMutablePointer<ibv_comp_channel>
    private let context: DeviceContext
    private let batch: UnsafeMutableBufferPointer<ibv_wc>
    /// Entries that fit. More outstanding work than this may end the queue: count before posting.
    public let depth: Int
    private var unacknowledgedEvents: UInt32 = 0
    /// Events that there may be: at most one for each time it was armed.
    private var eventsExpected = 0
    private var isBlocking = false
    /// Completions taken by one ``poll()``.
    public static let batchMax = 32

    /// Makes a queue of at least `depth` entries, at most the device's ``DeviceAttributes/completionsMax``.
    public convenience init(context: DeviceContext, depth: Int) throws(FabricError) {
        try self.init(context: context, depth: depth, fields: nil)
    }

    /// Makes a queue whose completions are read one by one, with the fields asked for. Verb: `ibv_create_cq_ex(3)`.
    /// - Throws: ``FabricError`` with code `unsupported` when the device cannot report one of the fields.
    public convenience init(context: DeviceContext, depth: Int, fields: CompletionFields) throws(FabricError) {
        try self.init(context: context, depth: depth, fields: .some(fields))
    }

    private init(context: DeviceContext, depth: Int, fields: CompletionFields?) throws(FabricError) {
        let detail = "cannot make a completion queue of \(depth) entries on \(context.name)"
        unsafe channel = try VerbsCall.nonNull("ibv_create_comp_channel", ibv_create_comp_channel(context.raw), detail)
        var number: Int32 = 0
        if let fields {
            var attributes = unsafe ibv_cq_init_attr_ex()
            unsafe attributes.cqe = UInt32(depth)
            unsafe attributes.channel = unsafe channel
            unsafe attributes.wc_flags = fields.rawValue
            unsafe extended = unsafe ibv_create_cq_ex(context.raw, &attributes)
            number = errno
        } else {
            unsafe extended = nil
        }
        let plain =
            unsafe fields == nil
            ? ibv_create_cq(context.raw, Int32(depth), nil, channel, 0)
            : extended.map { unsafe ibv_cq_ex_to_cq($0) }
        guard let plain = unsafe plain else {
            if fields == nil { number = errno }
            unsafe ibv_destroy_comp_channel(channel)
            throw FabricError.verbs(fields == nil ? "ibv_create_cq" : "ibv_create_cq_ex", number, detail)
        }
        unsafe raw = plain
        self.context = context
        // The device may round up; what was asked for is what is counted on.
        self.depth = depth
        unsafe batch = .allocate(capacity: Self.batchMax)
        unsafe batch.initialize(repeating: ibv_wc())
        setBlocking(false)
    }

    deinit {
        takeEvents()
        unsafe ibv_ack_cq_events(raw, unacknowledgedEvents)
        unsafe ibv_destroy_cq(raw)
        unsafe ibv_destroy_comp_channel(channel)
        unsafe batch.deallocate()
    }

    /// Readable when a completion came after ``arm(solicitedOnly:)``.
    public var descriptor: Int32 { unsafe channel.pointee.fd }

    /// Takes up to ``batchMax`` completions without blocking; returns how many. Read them with the subscript.
    public func poll() -> Int {
        let count = unsafe ibv_poll_cq(raw, Int32(batch.count), batch.baseAddress)
        precondition(count >= 0, "ibv_poll_cq failed: the completion queue is broken")
        return Int(count)
    }

    /// The completions of the last ``poll()``.
    public subscript(index: Int) -> WorkCompletion { unsafe WorkCompletion(raw: batch[index]) }

    /// Asks for one event on ``descriptor``. Poll until empty afterwards: what came before it makes no event.
    /// - Parameter solicitedOnly: Only for messages sent ``SendFlags/solicited``, and for failures
    ///   (which rxe leaves out).
    public func arm(solicitedOnly: Bool = false) {
        let result = unsafe ibv_req_notify_cq(raw, solicitedOnly ? 1 : 0)
        precondition(result == 0, "ibv_req_notify_cq failed")
        eventsExpected += 1
    }

    /// An event that was asked for has not been taken yet.
    var isArmed: Bool { eventsExpected > 0 }

    /// Takes the events off the descriptor; returns how many. Never blocks.
    @discardableResult
    public func takeEvents() -> Int {
        if isBlocking { setBlocking(false) }
        var count = 0
        while eventsExpected > 0 {
            guard takeEvent() else {
                // Armed several times it makes one event more.
                eventsExpected = 1
                break
            }
            count += 1
        }
        return count
    }

    /// Sleeps until the event that ``arm(solicitedOnly:)`` asked for, in one system call, and takes it: for who waits
    /// for nothing else than this queue. Not armed, it returns at once.
    /// - Returns: False when a signal handler ran instead.
    public func waitForEvent() -> Bool {
        guard eventsExpected > 0 else { return true }
        if !isBlocking { setBlocking(true) }
        return takeEvent()
    }

    /// Acknowledges in groups: each acknowledgement takes a lock.
    private func takeEvent() -> Bool {
        var queue: UnsafeMutablePointer<ibv_cq>?
        var user: UnsafeMutableRawPointer?
        guard unsafe ibv_get_cq_event(channel, &queue, &user) == 0 else { return false }
        eventsExpected -= 1
        unacknowledgedEvents += 1
        if unacknowledgedEvents >= 64 {
            unsafe ibv_ack_cq_events(raw, unacknowledgedEvents)
            unacknowledgedEvents = 0
        }
        return true
    }

    private func setBlocking(_ isWanted: Bool) {
        let flags = unsafe fcntl(channel.pointee.fd, F_GETFL)
        let result = unsafe fcntl(channel.pointee.fd, F_SETFL, isWanted ? flags & ~O_NONBLOCK : flags | O_NONBLOCK)
        precondition(result == 0, "fcntl failed on a completion channel")
        isBlocking = isWanted
    }

    /// Takes completions as ``poll()`` does, sleeping until there is one; for programs that do one thing at a time.
    /// - Parameter milliseconds: At most so long; −1: for ever.
    /// - Returns: How many there are; 0 when the time is up.
    public func wait(milliseconds: Int32 = -1) -> Int {
        let count = Int(poll())
        guard count == 0 else { return count }
        arm()
        // What came before the queue was armed makes no event.
        let late = Int(poll())
        guard late == 0 else { return late }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe Glibc.poll(&entry, 1, milliseconds)
        takeEvents()
        return poll()
    }

    /// Has events wait until there are `count` completions, or the oldest is `microseconds` old. Verb:
    /// `ibv_modify_cq(3)`.
    /// - Throws: ``FabricError`` with code `unsupported` where the device cannot.
    public func moderate(count: Int, microseconds: Int) throws(FabricError) {
        var attributes = ibv_modify_cq_attr()
        attributes.attr_mask = UInt32(IBV_CQ_ATTR_MODERATE.rawCode)
        attributes.moderate.cq_count = UInt16(clamping: count)
        attributes.moderate.cq_period = UInt16(clamping: microseconds)
        try VerbsCall.check(
            "ibv_modify_cq", unsafe ibv_modify_cq(raw, &attributes),
            "cannot moderate the events of a completion queue on \(context.name)")
    }
}

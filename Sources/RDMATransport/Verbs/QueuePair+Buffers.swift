internal import CVerbs

/// What came of posting a buffer.
public enum BufferPosting: ~Copyable {
    /// The device has it; its completion gives it back.
    case posted
    /// It was not posted, and is yours again: the queue is full, or the queue pair is not in a state for it.
    case refused(RegisteredBuffer, PostOutcome)

    /// For programs that know there is room: a refusal is an error, and the buffer goes back to its pool.
    /// - Throws: ``FabricError`` with code `limit` when the queue is full, else `state`.
    public consuming func get() throws(FabricError) {
        guard case .refused(_, let outcome) = consume self else { return }
        throw FabricError(
            outcome == .queueFull ? .limit : .state, operation: "ibv_post_send", "a buffer was not posted: \(outcome)")
    }
}

extension QueuePair {
    /// Posts one request whose memory is a buffer's first ``RegisteredBuffer/byteCount`` bytes, and returns without
    /// waiting. It makes a completion, which ``BufferPool/reclaim(_:)`` turns into the buffer again.
    ///
    /// - Parameter operation: With ``SendOperation/read(_:)`` and the atomics the bytes are what the peer's memory is
    ///   copied into, otherwise what is sent.
    /// - Ownership: consumes `buffer`; no copy, no allocation.
    /// - Complexity: O(1). Verb: `ibv_post_send(3)`.
    public borrowing func post(
        _ operation: SendOperation, _ buffer: consuming RegisteredBuffer, flags: SendFlags = []
    ) -> BufferPosting {
        let (state, slot, byteCount) = unsafe (buffer.state, buffer.slot, buffer.byteCount)
        let (element, workID) = buffer.post(byteCount: byteCount, on: number)
        var piece = element.raw
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = workID
        unsafe request.num_sge = 1
        unsafe request.send_flags = flags.union(.signaled).rawValue
        unsafe encode(operation, into: &request)
        var refused: UnsafeMutablePointer<ibv_send_wr>?
        let result = unsafe withUnsafeMutablePointer(to: &piece) { piece in
            unsafe request.sg_list = unsafe piece
            return unsafe ibv_post_send(raw, &request, &refused)
        }
        guard result != 0 else { return .posted }
        _ = unsafe state.pointee.unpost(workID)
        let buffer = unsafe RegisteredBuffer(state: state, slot: slot, byteCount: byteCount)
        return .refused(buffer, PostOutcome(errorNumber: abs(result)))
    }

    /// Posts a receive into all of a buffer. Its completion, through ``BufferPool/reclaim(_:)``, says how many bytes
    /// arrived. Verb: `ibv_post_recv(3)`.
    /// - Ownership: consumes `buffer`; no copy, no allocation.
    public borrowing func postReceive(_ buffer: consuming RegisteredBuffer) -> BufferPosting {
        let (state, slot) = unsafe (buffer.state, buffer.slot)
        let (element, workID) = buffer.post(byteCount: unsafe state.pointee.bufferBytes, on: number)
        var piece = element.raw
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        let result = unsafe withUnsafeMutablePointer(to: &piece) { piece in
            var request = unsafe ibv_recv_wr(wr_id: workID, next: nil, sg_list: piece, num_sge: 1)
            return unsafe ibv_post_recv(raw, &request, &refused)
        }
        guard result != 0 else { return .posted }
        _ = unsafe state.pointee.unpost(workID)
        let buffer = unsafe RegisteredBuffer(state: state, slot: slot, byteCount: 0)
        return .refused(buffer, PostOutcome(errorNumber: abs(result)))
    }

    /// Ends the queue pair in order: moves it to the error state, polls its completion queues until every buffer of
    /// `pool` that it posted is back, then destroys it.
    ///
    /// - Parameter otherwise: Gets the completions of other buffers and queue pairs, which the queues report too.
    /// - Throws: ``FabricError`` with code `state` when the device gave a buffer not back within two seconds; it stays
    ///   the device's for ever.
    public consuming func close(
        returning pool: borrowing BufferPool, otherwise: (WorkCompletion) -> Void = { _ in }
    ) throws(FabricError) {
        moveToError()
        let deadline = monotonicNanoseconds() + 2_000_000_000
        while unsafe pool.state.pointee.posted(on: number) > 0 {
            for queue in completionQueues {
                for index in 0..<queue.poll() {
                    let completion = queue[index]
                    if completion.queuePair == number, pool.owns(completion) {
                        _ = pool.reclaim(completion)
                    } else {
                        otherwise(completion)
                    }
                }
            }
            guard monotonicNanoseconds() < deadline else {
                throw FabricError(
                    .state, operation: "ibv_poll_cq",
                    "queue pair \(number) kept \(unsafe pool.state.pointee.posted(on: number)) buffers for 2 s")
            }
        }
    }
}

extension PostOutcome {
    /// ENOMEM is what libibverbs' providers say of a full queue.
    init(errorNumber: Int32) { self = errorNumber == 12 ? .queueFull : .failed(errorNumber: errorNumber) }
}

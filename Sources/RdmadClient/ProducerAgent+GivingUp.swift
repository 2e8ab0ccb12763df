internal import RDMATransport
internal import RecordFormat
internal import Synchronization
internal import TopicProtocol

// On the link's thread: batches that have waited too long, refused ones, and sequences that begin anew.
//
// A partition goes on behind a batch that was given up. Whether that one is in the log, the next one finds out: it has
// the sequence number behind it, so that the broker takes it, or says that one is missing. Then the partition goes on
// with the next epoch and sequence number 0, as Kafka's producer does (KIP-360). From the first batch of that epoch on
// the broker refuses everything of the epochs before, so that nothing late comes between. Only what is certainly not in
// the log gets the new epoch: no batch is ever there under two.
extension ProducerAgent {
    /// Takes batches out that have waited too long.
    ///
    /// Batches in flight are taken out once their connection is gone; until then those with a place in the sequence
    /// stay behind them. What has none yet leaves no gap.
    func expire(_ index: Int, _ now: UInt64, _ link: any LinkPort, _ state: inout State) -> [Fate] {
        var expired: [ProducerBatch] = []
        func isDue(_ batch: ProducerBatch) -> Bool { now >= batch.created + deliveryNanoseconds }
        if state.partitions[index].inFlight.isEmpty {
            while let oldest = state.partitions[index].firstWaiting, isDue(oldest) {
                state.partitions[index].removeFirstWaiting()
                expired.append(oldest)
            }
        } else {
            let first = state.partitions[index].sealed.firstIndex { !$0.hasPlace } ?? .max
            while first < state.partitions[index].sealed.count, isDue(state.partitions[index].sealed[first]) {
                expired.append(state.partitions[index].sealed.remove(at: first))
            }
        }
        guard !expired.isEmpty else { return [] }
        let answer = state.partitions[index].lastRefusal.map { "the broker's last answer was \($0)" }
        let cause = (link.trouble?.description ?? answer).map { ": \($0)" } ?? ""
        let why = ClientError(.timeout, "not acknowledged in \(deliveryTimeout)\(cause)")
        state.concluding += expired
        return expired.map { givenUp($0, why, state) }
    }

    /// The fate of a batch that nothing is done for any more. The broker may still be reading what it was told of and
    /// has not answered.
    func givenUp(_ batch: ProducerBatch, _ why: ClientError, _ state: State) -> Fate {
        Fate(
            batch: batch, result: .failure(fate(of: batch, why)),
            slot: batch.unansweredOn == state.connections ? .orphaned : .free)
    }

    /// Puts refused batches back in front once their wait is over and nothing else is in flight; in a new sequence, if
    /// that is why they were refused.
    /// - Returns: those that cannot come along.
    func retryIfDue(_ index: Int, _ now: UInt64, _ state: inout State) -> [Fate] {
        let hasGap = state.partitions[index].hasGap
        guard hasGap || !state.partitions[index].refused.isEmpty, state.partitions[index].inFlight.isEmpty
        else { return [] }
        guard now >= state.partitions[index].retryAt else {
            nextTurn = min(nextTurn, state.partitions[index].retryAt)
            return []
        }
        if hasGap, !changeIdentity(index, &state) {
            needsIdentity = true
            nextTurn = min(nextTurn, now + Self.retryNanoseconds)
            return []
        }
        state.partitions[index].sealed.insert(contentsOf: state.partitions[index].refused, at: 0)
        state.partitions[index].refused = []
        return hasGap ? beginAnew(index, &state) : []
    }

    /// The next epoch, or an id that the partition has not had. False: there is none yet.
    private func changeIdentity(_ index: Int, _ state: inout State) -> Bool {
        if state.partitions[index].identity.epoch < .max {
            state.partitions[index].identity.epoch += 1
        } else if state.partitions[index].identity.id != state.identity.id {
            state.partitions[index].identity = state.identity
        } else {
            return false
        }
        return true
    }

    /// Gives the batches of a partition new places, from 0. The broker misses one before them, and so has none of those
    /// that it was told of once; one that may have reached it earlier is given up.
    private func beginAnew(_ index: Int, _ state: inout State) -> [Fate] {
        state.partitions[index].hasGap = false
        state.partitions[index].isUnproven = true
        state.partitions[index].nextSequence = 0
        let uncertain = state.partitions[index].sealed.filter(\.isUncertain)
        state.partitions[index].sealed.removeAll(where: \.isUncertain)
        for batch in state.partitions[index].sealed { batch.loseItsPlace() }
        let why = ClientError.refused(
            "produce to \(topic) partition \(index)", .outOfOrderSequence,
            "a batch before this one is missing in the log")
        state.concluding += uncertain
        return uncertain.map { givenUp($0, why, state) }
    }

    /// Another producer id, for partitions that have used up the epochs of theirs.
    func askForIdentity(_ link: any LinkPort) {
        guard !isAskingForIdentity, state.withLock({ $0.topicID != nil }) else { return }
        isAskingForIdentity = true
        link.ask(.allocateProducerID) { [self] result in
            isAskingForIdentity = false
            // Without one, the partition asks again.
            if let identity = try? Self.identity(result) { state.withLock { $0.identity = identity } }
        }
    }
}

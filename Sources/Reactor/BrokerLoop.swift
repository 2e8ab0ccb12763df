package import BrokerCore
internal import CLinux
internal import Glibc
package import Logging
internal import Synchronization

/// The broker's thread: polls the doors, lets the broker commit, delivers what became due; spins for a bounded time
/// after the last event, then sleeps until a door, the flusher or ``stop()`` wakes it.
package final class BrokerLoop {
    private let broker: Broker
    private let doors: [any Door]
    /// Ends ``run()``.
    package let stopper = Stopper()
    /// How long to spin before sleeping, in nanoseconds. 0 on a single processor: the peer needs it.
    private let spinNanoseconds: UInt64

    private let log: Logger
    /// When a partition's trouble was said last: every ten seconds is enough.
    private var saidAt: [String: UInt64] = [:]
    /// Of the last turn, and what to sleep on: kept for their memory.
    private var effects: BrokerEffects
    private var sleepEntries: [pollfd]
    /// When the last turn was, on the monotonic clock.
    private var turnTime: UInt64 = 0
    /// Whether the next turn does. Where nobody spins, one of two is enough: the other is mostly that before sleeping.
    private var readsClock = true

    package init(broker: Broker, doors: [any Door], log: Logger, spinNanoseconds: UInt64? = nil) {
        self.broker = broker
        self.log = log
        self.doors = doors
        effects = BrokerEffects(doors: doors.count)
        let descriptors =
            doors.map(\.pollDescriptor) + doors.map(\.wakeDescriptor) + broker.wakeDescriptors + [stopper.descriptor]
        sleepEntries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        broker.startGroups(now: Clock.monotonicNanoseconds(), nowMilliseconds: Clock.millisecondsSince1970())
        self.spinNanoseconds = spinNanoseconds ?? (sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? 20_000 : 0)
    }

    /// Runs on the calling thread until ``Stopper/stop()``, then ends all connections. The broker stays open.
    package func run() {
        var lastEvent: UInt64 = 0
        while !stopper.isStopping {
            readsClock = spinNanoseconds > 0 || !readsClock
            if turn() {
                lastEvent = turnTime
            } else if turnTime - lastEvent >= spinNanoseconds {
                sleep()
                readsClock = false
            } else {
                clinux_pause()
            }
        }
        _ = turn()
        for door in doors { door.shutdown() }
    }

    /// Returns whether anything happened.
    package func turn() -> Bool {
        var count = 0
        if readsClock { turnTime = Clock.monotonicNanoseconds() }
        let now = turnTime
        for door in doors { count += door.poll(now: now) }
        broker.commit(now: now, heardUntil: doors.reduce(now) { min($0, $1.heardUntil) })
        if broker.isMaintenanceDue(now: now) {
            broker.maintain(now: now, nowMilliseconds: Clock.millisecondsSince1970())
        }
        broker.takeCompacted()
        broker.takeFlushResults()
        broker.takeEffects(&effects)
        for (index, door) in doors.enumerated() { door.batchesWritten(effects.appended[index]) }
        if !effects.troubles.isEmpty { say(effects.troubles) }
        for trouble in effects.maintenanceTroubles {
            log.error("retention or compaction failed", metadata: ["why": "\(trouble)"])
        }
        if !effects.answers.isEmpty {
            count += effects.answers.count
            for (index, door) in doors.enumerated() { door.answer(effects.answers.filter { $0.origin.door == index }) }
        }
        if !effects.transactionAnswers.isEmpty {
            count += effects.transactionAnswers.count
            for (index, door) in doors.enumerated() {
                door.answer(effects.transactionAnswers.filter { $0.origin.door == index })
            }
        }
        var hasMore = false
        for (index, door) in doors.enumerated() {
            if !effects.changed[index].isEmpty {
                count += effects.changed[index].count
                door.answer(effects.changed[index])
            }
            if effects.hasDeletedFiles { door.filesWereDeleted() }
            count += effects.acks[index].count
            if effects.isReadable { door.lookAtAllSubscriptions() }
            if door.deliver(effects.acks[index], readable: effects.readable) { hasMore = true }
        }
        return count > 0 || !effects.readable.isEmpty || effects.isReadable || hasMore
    }

    private func say(_ troubles: [String: String]) {
        let now = Clock.monotonicNanoseconds()
        for (partition, trouble) in troubles where now >= (saidAt[partition] ?? 0) {
            saidAt[partition] = now + 10_000_000_000
            log.error("batches refused", metadata: ["partition": "\(partition)", "why": "\(trouble)"])
        }
    }

    private func sleep() {
        for door in doors where !door.prepareToSleep() { return }
        var timeout: Int32 = 10_000
        let deadline = doors.reduce(broker.nextDeadline ?? .max) { min($0, $1.nextDeadline ?? .max) }
        if deadline != .max {
            timeout = deadline > turnTime ? min(timeout, Int32(clamping: (deadline - turnTime) / 1_000_000 + 1)) : 0
        }
        _ = unsafe poll(&sleepEntries, nfds_t(sleepEntries.count), timeout)
    }
}

/// Ends a ``BrokerLoop`` from any thread.
package final class Stopper: Sendable {
    let descriptor = clinux_eventfd()
    private let flag = Atomic(false)

    deinit { close(descriptor) }

    var isStopping: Bool { flag.load(ordering: .acquiring) }

    /// The loop ends after its turn.
    package func stop() {
        flag.store(true, ordering: .releasing)
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, 8)
    }
}

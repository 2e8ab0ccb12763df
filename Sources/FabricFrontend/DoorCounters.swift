internal import Logging
package import Reactor

/// A door that counts what it does.
package protocol CountedDoor: Door {
    var counters: DoorCounters { get }
}

/// What a fabric's door has done since it opened. Copies are those of the CPU, in the broker.
package struct DoorCounters: Sendable {
    package var connections = 0
    package var pulledBatches = 0
    package var eagerBatches = 0
    package var refusedBatches = 0
    /// Subscriptions looked at for something to push.
    package var looks = 0
    package var pushedEntries = 0
    package var pushedBytes = 0
    /// Reads of log files into send memory: one copy each.
    package var fileReads = 0
    package var fileReadBytes = 0
    /// Pushes from where the batch landed: no copy, but that of a shared-memory WRITE.
    package var hotPushes = 0
    /// Pushes from a mapped log file: as hot ones.
    package var windowPushes = 0
    package var protocolErrors = 0
    /// How often a session had to wait for its client's quota.
    package var throttles = 0
}

extension FabricDoor: CountedDoor {
    var metadata: Logger.Metadata {
        [
            "on": "\(address)", "connections": "\(counters.connections)", "pulled": "\(counters.pulledBatches)",
            "eager": "\(counters.eagerBatches)", "refused": "\(counters.refusedBatches)",
            "pushed-entries": "\(counters.pushedEntries)", "pushed-bytes": "\(counters.pushedBytes)",
            "hot-pushes": "\(counters.hotPushes)", "window-pushes": "\(counters.windowPushes)",
            "file-reads": "\(counters.fileReads)", "file-read-bytes": "\(counters.fileReadBytes)",
            "protocol-errors": "\(counters.protocolErrors)", "throttles": "\(counters.throttles)",
        ]
    }
}

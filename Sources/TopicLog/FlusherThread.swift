internal import Glibc
internal import Synchronization

/// What the flusher and one of its threads have in common.
final class FlusherThread: Sendable {
    struct Requests: Sendable {
        var waiting: [FlushRequest] = []
        var isStopping = false
    }

    let requests = Mutex(Requests())
    /// Blocking: the thread sleeps in a read of it.
    let requestEvent: EventCounter
    private let results: FlushResults
    /// More files than this are synced with their whole file system, in one call: measured, see
    /// docs/adr/0009-syncfs-for-many-partitions.md.
    private static let singleSyncsMax = 4

    init(requestEvent: EventCounter, results: FlushResults) {
        self.requestEvent = requestEvent
        self.results = results
    }

    /// The thread's life.
    func run() {
        while true {
            requestEvent.drain()
            let (batch, isStopping) = requests.withLock { requests in
                defer { requests.waiting = [] }
                return (requests.waiting, requests.isStopping)
            }
            // All of its bytes were written before we took it: whatever is synced now covers them.
            for (volume, group) in Self.byVolume(batch) { perform(group, on: volume) }
            if isStopping { return }
        }
    }

    private static func byVolume(_ batch: [FlushRequest]) -> [(LogFile, [FlushRequest])] {
        var groups: [(LogFile, [FlushRequest])] = []
        for request in batch {
            if let index = groups.firstIndex(where: { $0.0 === request.ticket.volume }) {
                groups[index].1.append(request)
            } else {
                groups.append((request.ticket.volume, [request]))
            }
        }
        return groups
    }

    private func perform(_ group: [FlushRequest], on volume: LogFile) {
        let files = Set(group.lazy.flatMap { $0.ticket.files.lazy.map(ObjectIdentifier.init) })
        if files.count > Self.singleSyncsMax {
            let status = volume.storage.synchronizeFileSystem(of: volume.descriptor)
            if status != -EOPNOTSUPP {
                let error = status == 0 ? nil : LogError(errno: -status, "syncing the file system of", volume.path)
                return results.add(group.map { FlushResult(token: $0.token, ticket: $0.ticket, error: error) })
            }
        }
        // A file asked for twice is synced once.
        var done: [ObjectIdentifier: Int32] = [:]
        for request in group {
            var error: LogError?
            for file in request.ticket.files where error == nil {
                let status = done[ObjectIdentifier(file)] ?? file.storage.synchronize(file.descriptor)
                done[ObjectIdentifier(file)] = status
                if status != 0 { error = LogError(errno: -status, "syncing", file.path) }
            }
            results.add([FlushResult(token: request.token, ticket: request.ticket, error: error)])
        }
    }
}

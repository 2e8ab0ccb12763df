internal import Reactor

/// What is left to do for a request: a piece at each call, false after the last one.
typealias Pieces = () -> Bool

// Requests that may take longer than a turn should: they are served in pieces, and others between those.
extension KafkaDoor {
    /// How much of a request is one piece: so many partitions or topics that are in memory, or segments of files.
    static let pieceItems = 64, pieceSegments = 16

    /// Does what a request wants: at once if a turn is enough for it, else over several.
    func doInPieces(_ call: KafkaCall, _ pieces: @escaping Pieces) {
        if goOn(pieces) { unfinished.append((call.connection, pieces, share)) }
    }

    /// Goes on with one of those that were not finished; then it is another one's turn. For clients that are gone
    /// nothing is done.
    func goOnWithUnfinished() {
        while let (connection, pieces, share) = unfinished.first {
            unfinished.removeFirst()
            guard connections[connection.id] === connection else { continue }
            if goOn(pieces) { unfinished.append((connection, pieces, share)) }
            return
        }
    }

    /// Returns whether there is more to do.
    private func goOn(_ pieces: Pieces) -> Bool {
        let start = Clock.monotonicNanoseconds()
        repeat {
            counters.pieces += 1
            if !pieces() { return false }
        } while Clock.monotonicNanoseconds() - start < turnNanosecondsMax
        return true
    }
}

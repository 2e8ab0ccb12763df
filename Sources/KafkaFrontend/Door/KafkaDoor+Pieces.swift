internal import Reactor

/// What is left to do for a request: a piece at each call, false after the last one.
typealias Pieces = () -> Bool

// Requests that may take longer than a turn should: they are served in pieces, and others between those.
extension KafkaDoor {
    /// How much of a request is one piece: so many partitions or topics that are in memory, or segments of files.
    static let pieceItems = 64, pieceSegments = 16
    /// So many connections' requests are served by turns. Those of others wait before their second piece: an answer
    /// that has begun takes memory.
    static let begunMax = 4

    /// Does what a request wants: at once if the turn has time for it, else over several. A connection's requests are
    /// done one after the other.
    func doInPieces(_ call: KafkaCall, _ pieces: @escaping Pieces) {
        let connection = call.connection
        guard connections[connection.id] === connection else { return }
        if connection.unfinished.isEmpty {
            let hasTime = pieceNanoseconds == 0 || pieceNanoseconds < turnNanosecondsMax
            if hasTime, !begin(pieces, upTo: unfinished.count < Self.begunMax ? .max : 1) { return }
            unfinished.append(connection)
        }
        connection.unfinished.append((pieces, share))
    }

    /// Goes on with those that were not finished, for a while: a piece for each of the first connections in turn. For
    /// clients that are gone nothing is done.
    func goOnWithUnfinished() {
        guard !unfinished.isEmpty else { return }
        let start = Clock.monotonicNanoseconds()
        repeat {
            let connection = unfinished.removeFirst()
            guard let next = connection.unfinished.first else { continue }
            counters.pieces += 1
            if next.pieces() {
                unfinished.insert(connection, at: min(Self.begunMax - 1, unfinished.count))
            } else {
                connection.unfinished.removeFirst()
                if !connection.unfinished.isEmpty { unfinished.append(connection) }
            }
        } while !unfinished.isEmpty && Clock.monotonicNanoseconds() - start < turnNanosecondsMax
    }

    /// Does so much of a request as the turn has time for. Returns whether there is more to do.
    private func begin(_ pieces: Pieces, upTo piecesMax: Int) -> Bool {
        let (start, before) = (Clock.monotonicNanoseconds(), pieceNanoseconds)
        var count = 0
        repeat {
            count += 1
            counters.pieces += 1
            let hasMore = pieces()
            pieceNanoseconds = before + Clock.monotonicNanoseconds() - start
            if !hasMore { return false }
        } while count < piecesMax && pieceNanoseconds < turnNanosecondsMax
        return true
    }
}

internal import RecordFormat

/// Damage found in a log that is open: the range is fenced, what follows is kept.
extension PartitionLog {
    /// Reads everything, checksums too, and fences what is bad.
    /// - Returns: every damaged range that is known now, in order.
    /// - Throws: when a file cannot be read.
    package func verify() throws(LogError) -> [DamagedRange] {
        precondition(!isClosed, "verify of a closed log")
        for segment in segments {
            var place: (position: Int64, offset: Offset)? = (0, segment.baseOffset)
            while let start = place, start.position < segment.sizeInBytes {
                place = nil
                guard
                    let damage = try segment.walk(
                        from: start.position, at: start.offset, checking: .zero, { (_, _) in true })
                else { break }
                // A fenced log's end is known already.
                if let fence, damage.offset >= fence.start { break }
                let range = try fence(damage, in: segment)
                place = range.resumePosition.map { ($0, range.offsets.upperBound) }
            }
        }
        return damages
    }

    /// The range that holds an offset, if there is one.
    func damage(at offset: Offset) -> DamagedRange? {
        damages.isEmpty ? nil : damages.first { $0.offsets.contains(offset) }
    }

    /// Takes note of a batch that cannot be read.
    @discardableResult
    func fence(_ damage: Segment.Damage, in segment: Segment) throws(LogError) -> DamagedRange {
        if let known = self.damage(at: damage.offset) { return known }
        let next = try firstSoundBatch(behind: damage, in: segment)
        let range = DamagedRange(
            offsets: damage.offset..<(next?.offset ?? max(segment.endOffset, damage.offset.advanced(by: 1))),
            path: segment.path, filePosition: damage.position, reason: damage.reason,
            resumePosition: next?.position)
        damages.append(range)
        damages.sort { $0.offsets.lowerBound < $1.offsets.lowerBound }
        return range
    }

    /// Where reading can go on: at the next batch, if the bad one's length leads to it; else at the next that the index
    /// knows.
    private func firstSoundBatch(
        behind damage: Segment.Damage, in segment: Segment
    ) throws(LogError) -> (position: Int64, offset: Offset)? {
        func offset(at position: Int64) throws(LogError) -> Offset? {
            guard position > damage.position, position < segment.sizeInBytes else { return nil }
            let header = try segment.header(at: position)
            return Self.isPlausible(header, in: segment) && header.baseOffset > damage.offset
                ? header.baseOffset : nil
        }
        if damage.position < segment.sizeInBytes {
            let next = damage.position + Int64(try segment.header(at: damage.position).sizeInBytes)
            if let found = try offset(at: next) { return (next, found) }
        }
        let index = try segment.offsetIndex()
        for number in (try index.count { Int64($0.position) <= damage.position })..<index.count {
            let position = Int64(try index.entry(number).position)
            if let found = try offset(at: position) { return (position, found) }
        }
        return nil
    }
}

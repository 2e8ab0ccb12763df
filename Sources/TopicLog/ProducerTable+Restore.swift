internal import RecordFormat

extension ProducerTable {
    /// The producers as they were before `end`: those of the last good snapshot, and what was appended from it on.
    /// - Parameter segments: All that begin below `end`, as far as there are any.
    /// - Returns: besides, the damage that was met on the way: what lies behind it in its segment is not known.
    static func restore(
        segments: [Segment], snapshots: [Offset], below end: Offset, directory: String, _ options: LogOptions,
        _ files: FileSystem
    ) throws(LogError) -> (producers: ProducerTable, damages: [DamagedRange]) {
        var start = Offset.zero
        var producers = ProducerTable(producersMax: options.producersMax)
        for offset in snapshots.reversed() where offset <= end {
            let path = directory + "/" + Segment.name(offset, ProducerSnapshot.suffix)
            guard let bytes = try files.contents(of: path), let snapshot = ProducerSnapshot(decoding: bytes) else {
                continue
            }
            producers = ProducerTable(snapshot, producersMax: options.producersMax)
            start = offset
            break
        }
        var damages: [DamagedRange] = []
        for segment in segments where segment.endOffset > start {
            let wasOpen = segment.isOpen
            let damage = try segment.walk { (header, _) in
                if header.baseOffset >= start { producers.replay(header) }
                return true
            }
            if !wasOpen { segment.closeFile() }
            if let damage {
                damages.append(
                    DamagedRange(
                        offsets: damage.offset..<segment.endOffset, path: segment.path,
                        filePosition: damage.position, reason: damage.reason, resumePosition: nil))
            }
        }
        if !damages.isEmpty || (segments.first?.baseOffset ?? end) > start { producers.missPart() }
        return (producers, damages)
    }
}

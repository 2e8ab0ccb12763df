/// One change of ALTER_CONFIGS: `| operation u8 | name string | value string |`, operation 0 to set, 1 to go back to
/// the broker's value (Kafka's numbers); the value is empty then.
package struct ConfigChange: Hashable, Sendable {
    package var name: String
    /// Nil: back to what the broker says.
    package var value: String?
    package init(name: String, value: String?) {
        self.name = name
        self.value = value
    }

    static func list(_ reader: inout FrameReader) throws(FrameError) -> [ConfigChange] {
        let count = try reader.integer(UInt16.self)
        guard count <= FrameLimits.topicConfigsMax else {
            throw FrameError("\(count) config changes, at most \(FrameLimits.topicConfigsMax) are allowed")
        }
        var changes: [ConfigChange] = []
        for _ in 0..<count {
            let operation = try reader.integer(UInt8.self)
            let name = try reader.string(bytesMax: FrameLimits.topicNameBytesMax)
            let value = try reader.string(bytesMax: FrameLimits.topicConfigBytesMax)
            guard operation == 0 || operation == 1 && value.isEmpty else {
                throw FrameError("config operation \(operation) with a value of \(value.utf8.count) bytes")
            }
            changes.append(ConfigChange(name: name, value: operation == 0 ? value : nil))
        }
        return changes
    }

    static func encode(_ changes: [ConfigChange], into writer: inout FrameWriter) {
        writer.integer(UInt16(changes.count))
        for change in changes {
            writer.integer(UInt8(change.value == nil ? 1 : 0))
            writer.string(change.name)
            writer.string(change.value ?? "")
        }
    }
}

/// One setting in an answer to DESCRIBE_CONFIGS:
/// `| source u8 | read-only u8 | name string | value string |`.
package struct ConfigDescription: Hashable, Sendable {
    /// Where a value comes from: Kafka's numbers.
    package struct Source: Hashable, Sendable, RawRepresentable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The topic was given it.
        package static let topic = Source(rawValue: 1)
        /// The broker was started with it.
        package static let broker = Source(rawValue: 4)
        /// Nobody has said otherwise.
        package static let builtIn = Source(rawValue: 5)
    }

    package var name: String
    package var value: String
    package var source: Source
    /// Whether ALTER_CONFIGS cannot change it.
    package var isReadOnly: Bool
    package init(name: String, value: String, source: Source, isReadOnly: Bool) {
        self.name = name
        self.value = value
        self.source = source
        self.isReadOnly = isReadOnly
    }

    /// Writes `| count u16 | count × description |`: as many as fit.
    package static func encode(_ list: [ConfigDescription], into writer: inout FrameWriter) {
        var room = writer.room - 2
        let fitting = list.prefix {
            room -= 6 + $0.name.utf8.count + $0.value.utf8.count
            return room >= 0
        }
        writer.integer(UInt16(fitting.count))
        for config in fitting {
            writer.integer(config.source.rawValue)
            writer.integer(UInt8(config.isReadOnly ? 1 : 0))
            writer.string(config.name)
            writer.string(config.value)
        }
    }

    package static func list(from reader: inout FrameReader) throws(FrameError) -> [ConfigDescription] {
        var list: [ConfigDescription] = []
        for _ in 0..<(try reader.integer(UInt16.self)) {
            let source = Source(rawValue: try reader.integer())
            let isReadOnly = try reader.integer(UInt8.self) != 0
            list.append(
                ConfigDescription(
                    name: try reader.string(bytesMax: FrameLimits.topicNameBytesMax),
                    value: try reader.string(bytesMax: FrameLimits.topicConfigBytesMax), source: source,
                    isReadOnly: isReadOnly))
        }
        return list
    }
}

/// An answer to LIST_OFFSETS: `| offset i64 | timestamp i64 |`. Both are −1 when there is no such record; for the end
/// and the beginning the timestamp is.
package struct ListedOffset: Hashable, Sendable {
    package var offset: Int64
    package var timestamp: Int64
    package init(offset: Int64, timestamp: Int64) {
        self.offset = offset
        self.timestamp = timestamp
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        offset = try reader.integer()
        timestamp = try reader.integer()
    }

    package func encode(into writer: inout FrameWriter) {
        writer.integer(offset)
        writer.integer(timestamp)
    }
}

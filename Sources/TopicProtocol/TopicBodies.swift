/// One topic in an answer to LIST_TOPICS.
package struct TopicListing: Sendable {
    package var topicID: UInt32
    package var partitions: UInt32
    package var name: String
    package init(topicID: UInt32, partitions: UInt32, name: String) {
        self.topicID = topicID
        self.partitions = partitions
        self.name = name
    }
}

/// An answer to LIST_TOPICS: `| more u8 | count u16 | count × (topic id u32 | partitions u32 | name string) |`.
package struct TopicList: Sendable {
    package var topics: [TopicListing] = []
    /// True when names follow the last one here: ask again after it.
    package var isCut = false

    package init() {}

    /// Writes as many as fit.
    package func encode(into writer: inout FrameWriter) {
        var fitting = 0
        var room = writer.room - 3
        for topic in topics {
            room -= 10 + topic.name.utf8.count
            if room < 0 { break }
            fitting += 1
        }
        writer.integer(UInt8(isCut || fitting < topics.count ? 1 : 0))
        writer.integer(UInt16(fitting))
        for topic in topics.prefix(fitting) {
            writer.integer(topic.topicID)
            writer.integer(topic.partitions)
            writer.string(topic.name)
        }
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        isCut = try reader.integer(UInt8.self) != 0
        let count = try reader.integer(UInt16.self)
        for _ in 0..<count {
            topics.append(
                TopicListing(
                    topicID: try reader.integer(), partitions: try reader.integer(),
                    name: try reader.string(bytesMax: FrameLimits.topicNameBytesMax)))
        }
    }
}

/// One partition in an answer to DESCRIBE_TOPIC.
package struct PartitionDescription: Sendable {
    /// Offset of the first record there is.
    package var logStartOffset: Int64
    /// Offset after the last record that consumers may see.
    package var highWatermark: Int64
    /// Offset after the last record written.
    package var logEndOffset: Int64
    /// False when the partition's log is damaged and takes no records.
    package var isWritable: Bool
    static let byteCount = 25
    package init(logStartOffset: Int64, highWatermark: Int64, logEndOffset: Int64, isWritable: Bool) {
        self.logStartOffset = logStartOffset
        self.highWatermark = highWatermark
        self.logEndOffset = logEndOffset
        self.isWritable = isWritable
    }
}

/// An answer to DESCRIBE_TOPIC: `| topic id u32 | partitions u32 | first u32 | count u16 | count × (start i64 |
/// high watermark i64 | end i64 | writable u8) | configs |`. Partitions beyond `first + count`: ask again. The configs
/// are those that the topic was given, as in CREATE_TOPIC.
package struct TopicDescription: Sendable {
    package var topicID: UInt32
    package var partitionCount: UInt32
    package var firstPartition: UInt32
    package var partitions: [PartitionDescription]
    package var configs: [TopicConfig]

    package init(
        topicID: UInt32, partitionCount: UInt32, firstPartition: UInt32, partitions: [PartitionDescription],
        configs: [TopicConfig]
    ) {
        self.configs = configs
        self.topicID = topicID
        self.partitionCount = partitionCount
        self.firstPartition = firstPartition
        self.partitions = partitions
    }

    package func encode(into writer: inout FrameWriter) {
        let configBytes = configs.reduce(2) { $0 + 4 + $1.name.utf8.count + $1.value.utf8.count }
        let fitting = min(partitions.count, (writer.room - 14 - configBytes) / PartitionDescription.byteCount)
        writer.integer(topicID)
        writer.integer(partitionCount)
        writer.integer(firstPartition)
        writer.integer(UInt16(fitting))
        for partition in partitions.prefix(fitting) {
            writer.integer(partition.logStartOffset)
            writer.integer(partition.highWatermark)
            writer.integer(partition.logEndOffset)
            writer.integer(UInt8(partition.isWritable ? 1 : 0))
        }
        TopicConfig.encode(configs, into: &writer)
    }

    package init(from reader: inout FrameReader) throws(FrameError) {
        topicID = try reader.integer()
        partitionCount = try reader.integer()
        firstPartition = try reader.integer()
        partitions = []
        let count = try reader.integer(UInt16.self)
        for _ in 0..<count {
            partitions.append(
                PartitionDescription(
                    logStartOffset: try reader.integer(), highWatermark: try reader.integer(),
                    logEndOffset: try reader.integer(), isWritable: try reader.integer(UInt8.self) != 0))
        }
        configs = try TopicConfig.list(&reader)
    }
}

/// A setting of one topic, by Kafka's name where Kafka has one.
package struct TopicConfig: Hashable, Sendable {
    package var name: String
    package var value: String
    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }

    /// What may stand behind a frame's other fields: `| count u16 | count × (name string | value string) |`, or
    /// nothing.
    static func list(_ reader: inout FrameReader) throws(FrameError) -> [TopicConfig] {
        guard reader.remaining > 0 else { return [] }
        let count = try reader.integer(UInt16.self)
        guard count <= FrameLimits.topicConfigsMax else {
            throw FrameError("\(count) configs, at most \(FrameLimits.topicConfigsMax) are allowed")
        }
        var configs: [TopicConfig] = []
        for _ in 0..<count {
            configs.append(
                TopicConfig(
                    name: try reader.string(bytesMax: FrameLimits.topicNameBytesMax),
                    value: try reader.string(bytesMax: FrameLimits.topicConfigBytesMax)))
        }
        return configs
    }

    static func encode(_ configs: [TopicConfig], into writer: inout FrameWriter) {
        writer.integer(UInt16(configs.count))
        for config in configs {
            writer.string(config.name)
            writer.string(config.value)
        }
    }
}

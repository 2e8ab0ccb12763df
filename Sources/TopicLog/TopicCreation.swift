/// A topic to be made, or more partitions of one that there is.
package struct TopicCreation: Sendable {
    package var name: String
    /// How many partitions there shall be: 1...1024.
    package var partitions: Int
    /// The topic's own settings; the data directory's options hold for the rest. Nil: there is such a topic, and it
    /// shall have more partitions.
    package var configs: [String: String]?

    package init(name: String, partitions: Int, configs: [String: String]?) {
        self.name = name
        self.partitions = partitions
        self.configs = configs
    }
}

internal import BrokerCore
internal import Glibc
internal import KafkaProtocol
internal import TopicLog

// Where partitions lie and how large they are.
extension KafkaDoor {
    func describeLogDirs(_ request: DescribeLogDirsRequest, _ call: KafkaCall) {
        typealias Topic = DescribeLogDirsResponse.DescribeLogDirsTopic
        var topics: [String: [Topic]] = [:]
        let wanted = request.topics.map { topics in
            Dictionary(topics.map { ($0.topic, Set($0.partitions)) }) { $0.union($1) }
        }
        for name in wanted.map({ $0.keys.sorted() }) ?? broker.topicNames {
            var own: [String: Topic] = [:]
            for (index, partition) in (broker.partitions(of: name) ?? []).enumerated()
            where wanted.map({ $0[name]!.contains(Int32(index)) }) ?? true {
                var listed = DescribeLogDirsResponse.DescribeLogDirsPartition()
                listed.partitionIndex = Int32(index)
                listed.partitionSize = partition.log.sizeInBytes
                own[partition.log.volume.path, default: Self.topic(name)].partitions.append(listed)
            }
            for (path, topic) in own { topics[path, default: []].append(topic) }
        }
        var response = DescribeLogDirsResponse()
        response.results = broker.logDirectories.map { path in
            var result = DescribeLogDirsResponse.DescribeLogDirsResult()
            result.logDir = path
            result.topics = topics[path] ?? []
            if let (total, usable) = Self.space(path) {
                result.totalBytes = total
                result.usableBytes = usable
            }
            return result
        }
        answer(call, response)
    }

    private static func topic(_ name: String) -> DescribeLogDirsResponse.DescribeLogDirsTopic {
        var topic = DescribeLogDirsResponse.DescribeLogDirsTopic()
        topic.name = name
        return topic
    }

    /// Bytes of a directory's volume, and those of them that are free.
    private static func space(_ path: String) -> (total: Int64, usable: Int64)? {
        var space = statvfs()
        guard unsafe statvfs(path, &space) == 0 else { return nil }
        func bytes(_ blocks: UInt) -> Int64 {
            let (bytes, isOver) = blocks.multipliedReportingOverflow(by: UInt(space.f_frsize))
            return isOver ? .max : Int64(clamping: bytes)
        }
        return (bytes(space.f_blocks), bytes(space.f_bavail))
    }
}

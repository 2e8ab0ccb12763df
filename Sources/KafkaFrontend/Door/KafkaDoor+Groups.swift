internal import BrokerCore
internal import KafkaProtocol
internal import TopicProtocol

// Consumer groups: members come, share and go.
extension KafkaDoor {
    func joinGroup(_ request: JoinGroupRequest, _ call: KafkaCall) {
        let session = UInt32(clamping: request.sessionTimeoutMs)
        // Version 0 has one timeout for both.
        let rebalance = call.version == 0 ? session : UInt32(clamping: request.rebalanceTimeoutMs)
        let join = JoinGroup(
            group: request.groupId, memberID: request.memberId, instanceID: request.groupInstanceId.flatMap(nonEmpty),
            clientID: call.clientID, protocolType: request.protocolType,
            protocols: request.protocols.map { GroupProtocol(name: $0.name, metadata: $0.metadata) },
            sessionTimeoutMilliseconds: session, rebalanceTimeoutMilliseconds: rebalance)
        self.join(join, call)
    }

    private func join(_ join: JoinGroup, _ call: KafkaCall) {
        ask(.join(join), call) { [self] answered in
            var body: JoinGroupAnswer?
            if case .join(let given) = answered.body { body = given }
            // Before version 4 clients do not know that they are to come again with an id: it is done for them.
            if answered.error == .memberIDRequired, call.version < 4, let body {
                var again = join
                again.memberID = body.memberID
                return self.join(again, call)
            }
            var response = JoinGroupResponse()
            response.errorCode = KafkaError(answered.error)
            response.memberId = body?.memberID ?? join.memberID
            if call.version >= 7 { response.protocolName = nil }
            if answered.error == .none, let body {
                response.generationId = body.generation
                response.protocolType = body.protocolType
                response.protocolName = body.protocolName
                response.leader = body.leader
                response.skipAssignment = body.skipsAssignment
                response.members = body.members.map { member in
                    var listed = JoinGroupResponse.JoinGroupResponseMember()
                    listed.memberId = member.memberID
                    listed.groupInstanceId = member.instanceID
                    listed.metadata = member.metadata
                    return listed
                }
            }
            answer(call, response)
        }
    }

    func syncGroup(_ request: SyncGroupRequest, _ call: KafkaCall) {
        let sync = SyncGroup(
            caller: GroupCaller(
                group: request.groupId, generation: request.generationId, memberID: request.memberId,
                instanceID: request.groupInstanceId.flatMap(nonEmpty)),
            protocolType: request.protocolType ?? "", protocolName: request.protocolName ?? "",
            assignments: request.assignments.map {
                MemberAssignment(memberID: $0.memberId, assignment: $0.assignment)
            })
        ask(.sync(sync), call) { [self] answered in
            var response = SyncGroupResponse()
            response.errorCode = KafkaError(answered.error)
            if answered.error == .none, case .sync(let body) = answered.body {
                response.protocolType = body.protocolType
                response.protocolName = body.protocolName
                response.assignment = body.assignment
            }
            answer(call, response)
        }
    }

    func heartbeat(_ request: HeartbeatRequest, _ call: KafkaCall) {
        let caller = GroupCaller(
            group: request.groupId, generation: request.generationId, memberID: request.memberId,
            instanceID: request.groupInstanceId.flatMap(nonEmpty))
        ask(.heartbeat(caller), call) { [self] answered in
            var response = HeartbeatResponse()
            response.errorCode = KafkaError(answered.error)
            answer(call, response)
        }
    }

    /// One member before version 3, many since.
    func leaveGroup(_ request: LeaveGroupRequest, _ call: KafkaCall) {
        let isBatch = call.version >= 3
        let members =
            isBatch
            ? request.members.map {
                LeavingMember(memberID: $0.memberId, instanceID: $0.groupInstanceId.flatMap(nonEmpty))
            } : [LeavingMember(memberID: request.memberId)]
        ask(.leave(group: request.groupId, members: members), call) { [self] answered in
            var response = LeaveGroupResponse()
            response.errorCode = KafkaError(answered.error)
            var errors: [ErrorCode] = []
            if answered.error == .none, case .errors(let list) = answered.body { errors = list.errors }
            // A group that there is not has none of them.
            if answered.error == .unknownMemberID { errors = members.map { _ in .unknownMemberID } }
            if isBatch {
                if answered.error == .unknownMemberID { response.errorCode = .none }
                response.members = zip(request.members, errors).map { member, error in
                    var left = LeaveGroupResponse.MemberResponse()
                    left.memberId = member.memberId
                    left.groupInstanceId = member.groupInstanceId
                    left.errorCode = KafkaError(error)
                    return left
                }
            } else if answered.error == .none {
                response.errorCode = KafkaError(errors.first ?? .none)
            }
            answer(call, response)
        }
    }

    // MARK: Operators

    func describeGroups(_ request: DescribeGroupsRequest, _ call: KafkaCall) {
        let groups = request.groups.unique()
        // Those of KIP-848 are described by a request of their own, at a cost.
        let classic = groups.filter { !broker.isConsumerGroup($0) }
        ask(classic.map { .describe(group: $0) }, call) { [self] answers in
            let answered = Dictionary(zip(classic, answers)) { first, _ in first }
            var response = DescribeGroupsResponse()
            response.groups = groups.map { group in
                var described = DescribeGroupsResponse.DescribedGroup()
                described.groupId = group
                described.groupState = GroupState.dead.rawValue
                if request.includeAuthorizedOperations { described.authorizedOperations = AuthorizedOperations.group }
                guard let answered = answered[group] else { return described }
                // One that there is not is dead, without an error.
                if answered.error != .groupIDNotFound { described.errorCode = KafkaError(answered.error) }
                guard answered.error == .none, case .description(let body) = answered.body else { return described }
                described.groupState = body.state
                described.protocolType = body.protocolType
                described.protocolData = body.protocolName
                described.members = body.members.map { member in
                    var listed = DescribeGroupsResponse.DescribedGroupMember()
                    listed.memberId = member.memberID
                    listed.groupInstanceId = member.instanceID
                    listed.clientId = member.clientID
                    listed.clientHost = member.host
                    listed.memberMetadata = member.metadata
                    listed.memberAssignment = member.assignment
                    return listed
                }
                return described
            }
            answer(call, response)
        }
    }

    func listGroups(_ request: ListGroupsRequest, _ call: KafkaCall) {
        let states = Set(request.statesFilter.map { $0.lowercased() })
        let types = Set(request.typesFilter.map { $0.lowercased() })
        listGroups(after: "", call, []) { [self] groups, error in
            var response = ListGroupsResponse()
            response.errorCode = error
            response.groups = groups.compactMap { group in
                let type = broker.isConsumerGroup(group.group) ? "consumer" : "classic"
                guard states.isEmpty || states.contains(group.state.lowercased()), types.isEmpty || types.contains(type)
                else { return nil }
                var listed = ListGroupsResponse.ListedGroup()
                listed.groupId = group.group
                listed.protocolType = group.protocolType
                listed.groupState = group.state
                listed.groupType = type
                return listed
            }
            answer(call, response)
        }
    }

    /// All groups, page by page.
    private func listGroups(
        after last: String, _ call: KafkaCall, _ known: [GroupList.Group],
        then: @escaping ([GroupList.Group], KafkaError) -> Void
    ) {
        ask(.list(after: last), call) { [self] answered in
            guard answered.error == .none, case .groups(let page) = answered.body else {
                return then([], KafkaError(answered.error))
            }
            let groups = known + page.groups
            guard page.isCut, let last = page.groups.last?.group else { return then(groups, .none) }
            listGroups(after: last, call, groups, then: then)
        }
    }

    func deleteGroups(_ request: DeleteGroupsRequest, _ call: KafkaCall) {
        ask(request.groupsNames.map { .delete(group: $0) }, call) { [self] answers in
            var response = DeleteGroupsResponse()
            response.results = zip(request.groupsNames, answers).map { group, answered in
                var result = DeleteGroupsResponse.DeletableGroupResult()
                result.groupId = group
                result.errorCode = KafkaError(answered.error)
                return result
            }
            answer(call, response)
        }
    }

    /// Asks several things; `then` is called once, with the answers in order.
    func ask(_ requests: [GroupRequest], _ call: KafkaCall, then: @escaping ([GroupAnswer]) -> Void) {
        var answers = [GroupAnswer?](repeating: nil, count: requests.count)
        var left = requests.count
        guard left > 0 else { return then([]) }
        for (index, request) in requests.enumerated() {
            ask(request, call) { answered in
                answers[index] = answered
                left -= 1
                if left == 0 { then(answers.compactMap { $0 }) }
            }
        }
    }
}

/// Nil for an empty text.
func nonEmpty(_ text: String) -> String? { text.isEmpty ? nil : text }

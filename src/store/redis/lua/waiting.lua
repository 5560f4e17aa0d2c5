-- A partition's outbox: a sorted set of due times for each lane, and `:rt`, which says when each lane's next row is due.

-- Notes when a lane's next row is due.
local function look_at_lane(p, lane)
  local first = redis.call('ZRANGE', p .. ':rt:' .. lane, 0, 0, 'WITHSCORES')[2]
  if first then redis.call('ZADD', p .. ':rt', first, lane) else redis.call('ZREM', p .. ':rt', lane) end
end

local function wait_in(p, lane, due, id)
  redis.call('ZADD', p .. ':rt:' .. lane, due, id)
  look_at_lane(p, lane)
end


-- Leases due rows of one partition, the longest due first. ARGV: now, until, limit.
-- Answers when the next row is due and the rows: id, how often it was leased and not finished, state, attempts, body.
local p, due = KEYS[1], KEYS[1] .. ':rt'
local rows = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  local row = redis.call('HMGET', p .. ':d:' .. id, 'n', 's', 'a', 'b')
  if row[2] then
    redis.call('ZADD', due, ARGV[2], id)
    redis.call('HSET', p .. ':d:' .. id, 'l', ARGV[2], 'n', (row[1] or 0) + 1)
    rows[#rows + 1] = {id, row[1] or '0', row[2], row[3], row[4]}
  else
    redis.call('ZREM', due, id)
  end
end
return {redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or '', rows}

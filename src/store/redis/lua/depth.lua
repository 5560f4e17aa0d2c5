-- How many rows of one partition's outbox have not ended.
local count = 0
for _, lane in ipairs(redis.call('ZRANGE', KEYS[1] .. ':rt', 0, -1)) do
  count = count + redis.call('ZCARD', KEYS[1] .. ':rt:' .. lane)
end
return count

//! The same in Vietnamese, Chinese, Japanese and Korean.

/// What is said and asked in a language: `{n}` is the person, `{v}` the value.
pub(super) struct Language {
    pub(super) slice: &'static str,
    pub(super) names: [&'static str; 16],
    pub(super) topics: [Topic; 8],
}

/// A statement, a question for it, and what can stand in both.
pub(super) struct Topic {
    pub(super) statement: &'static str,
    pub(super) question: &'static str,
    pub(super) values: [&'static str; 8],
}

const fn topic(
    statement: &'static str,
    question: &'static str,
    values: [&'static str; 8],
) -> Topic {
    Topic { statement, question, values }
}

pub(super) static LANGUAGES: [Language; 4] = [
    Language {
        slice: "vietnamese",
        names: [
            "Hương",
            "Đức",
            "Thảo",
            "Minh",
            "Phượng",
            "Quốc",
            "Lệ",
            "Dũng",
            "Ngọc",
            "Hải",
            "Yến",
            "Tuấn",
            "Bích",
            "Khôi",
            "Trâm",
            "Sơn",
        ],
        topics: [
            topic(
                "{n} thích uống {v} mỗi buổi sáng.",
                "{n} thích uống gì mỗi buổi sáng?",
                [
                    "cà phê sữa đá",
                    "trà sen",
                    "nước mía",
                    "sữa đậu nành",
                    "trà gừng",
                    "nước dừa",
                    "sinh tố bơ",
                    "trà đá",
                ],
            ),
            topic(
                "{n} đang làm việc ở {v}.",
                "{n} đang làm việc ở đâu?",
                [
                    "bệnh viện Bạch Mai",
                    "xưởng gỗ",
                    "ngân hàng",
                    "nhà máy giấy",
                    "toà soạn báo",
                    "sân bay",
                    "trường tiểu học",
                    "tiệm bánh",
                ],
            ),
            topic(
                "Con mèo của {n} tên là {v}.",
                "Con mèo của {n} tên là gì?",
                ["Mướp", "Bông", "Vàng", "Đốm", "Mực", "Gừng", "Miu", "Tuyết"],
            ),
            topic(
                "{n} dị ứng với {v}.",
                "{n} dị ứng với món gì?",
                ["tôm", "đậu phộng", "sữa bò", "trứng gà", "cua biển", "phấn hoa", "bột mì", "dứa"],
            ),
            topic(
                "{n} chuyển nhà đến {v} tháng trước.",
                "{n} chuyển nhà đến đâu?",
                [
                    "Đà Nẵng",
                    "Huế",
                    "Cần Thơ",
                    "Hải Phòng",
                    "Đà Lạt",
                    "Nha Trang",
                    "Vinh",
                    "Quy Nhơn",
                ],
            ),
            topic(
                "Sinh nhật của {n} là ngày {v}.",
                "Sinh nhật của {n} là ngày nào?",
                [
                    "ba tháng tư",
                    "mười tháng năm",
                    "hai tháng chín",
                    "năm tháng giêng",
                    "mồng một tháng sáu",
                    "tám tháng ba",
                    "bảy tháng mười",
                    "chín tháng tám",
                ],
            ),
            topic(
                "{n} học đàn {v} ở trung tâm.",
                "{n} học đàn gì?",
                ["tranh", "bầu", "ghi ta", "dương cầm", "nguyệt", "vĩ cầm", "tỳ bà", "đáy"],
            ),
            topic(
                "{n} mua xe {v} màu đỏ.",
                "{n} mua xe gì?",
                ["đạp", "máy", "tải", "hơi", "điện", "bán tải", "khách", "ba gác"],
            ),
        ],
    },
    Language {
        slice: "chinese",
        names: [
            "小明", "王芳", "李雷", "张伟", "陈静", "赵磊", "孙丽", "周杰", "吴霞", "郑强", "冯雪",
            "蒋勇", "韩梅", "杨帆", "朱琳", "许亮",
        ],
        topics: [
            topic(
                "{n}每天早上喝{v}。",
                "{n}早上喝什么？",
                ["咖啡", "豆浆", "绿茶", "牛奶", "菊花茶", "橙汁", "红茶", "热水"],
            ),
            topic(
                "{n}在{v}工作。",
                "{n}在哪里工作？",
                ["人民医院", "图书馆", "汽车工厂", "出版社", "动物园", "银行", "面包店", "气象局"],
            ),
            topic(
                "{n}的猫叫{v}。",
                "{n}的猫叫什么名字？",
                ["花花", "黑豆", "雪球", "橘子", "芝麻", "团团", "可乐", "布丁"],
            ),
            topic(
                "{n}对{v}过敏。",
                "{n}对什么过敏？",
                ["花生", "虾", "花粉", "鸡蛋", "芒果", "牛奶", "灰尘", "海鲜"],
            ),
            topic(
                "{n}上个月搬到了{v}。",
                "{n}搬到哪里去了？",
                ["杭州", "成都", "青岛", "西安", "厦门", "昆明", "苏州", "大连"],
            ),
            topic(
                "{n}的生日是{v}。",
                "{n}的生日是哪一天？",
                [
                    "三月五日",
                    "七月九日",
                    "十月二日",
                    "一月八日",
                    "五月一日",
                    "八月六日",
                    "十一月三日",
                    "四月十日",
                ],
            ),
            topic(
                "{n}正在学{v}。",
                "{n}在学什么？",
                ["钢琴", "游泳", "书法", "法语", "太极拳", "摄影", "编程", "围棋"],
            ),
            topic(
                "{n}买了一辆{v}。",
                "{n}买了什么车？",
                ["自行车", "电动车", "摩托车", "卡车", "三轮车", "跑车", "面包车", "房车"],
            ),
        ],
    },
    Language {
        slice: "japanese",
        names: [
            "太郎", "花子", "健一", "美咲", "翔太", "陽子", "直樹", "彩香", "大輔", "由美", "拓也",
            "真理", "誠", "恵子", "隆", "千尋",
        ],
        topics: [
            topic(
                "{n}さんは毎朝{v}を飲みます。",
                "{n}さんは毎朝何を飲みますか？",
                ["コーヒー", "緑茶", "牛乳", "ココア", "紅茶", "豆乳", "麦茶", "野菜ジュース"],
            ),
            topic(
                "{n}さんは{v}で働いています。",
                "{n}さんはどこで働いていますか？",
                [
                    "市立病院",
                    "図書館",
                    "自動車工場",
                    "出版社",
                    "動物園",
                    "銀行",
                    "パン屋",
                    "郵便局",
                ],
            ),
            topic(
                "{n}さんの猫の名前は{v}です。",
                "{n}さんの猫の名前は何ですか？",
                ["タマ", "ミケ", "クロ", "きなこ", "もち", "ソラ", "ごま", "レオ"],
            ),
            topic(
                "{n}さんは{v}アレルギーです。",
                "{n}さんは何のアレルギーですか？",
                ["そば", "えび", "花粉", "卵", "ピーナッツ", "小麦", "かに", "ほこり"],
            ),
            topic(
                "{n}さんは先月{v}に引っ越しました。",
                "{n}さんはどこに引っ越しましたか？",
                ["札幌", "京都", "福岡", "仙台", "神戸", "金沢", "長崎", "那覇"],
            ),
            topic(
                "{n}さんの誕生日は{v}です。",
                "{n}さんの誕生日はいつですか？",
                [
                    "三月五日",
                    "七月九日",
                    "十月二日",
                    "一月八日",
                    "五月一日",
                    "八月六日",
                    "十一月三日",
                    "四月十日",
                ],
            ),
            topic(
                "{n}さんは{v}を習っています。",
                "{n}さんは何を習っていますか？",
                ["ピアノ", "水泳", "書道", "フランス語", "空手", "写真", "将棋", "茶道"],
            ),
            topic(
                "{n}さんは新しい{v}を買いました。",
                "{n}さんは何を買いましたか？",
                ["自転車", "カメラ", "冷蔵庫", "腕時計", "ソファ", "バイク", "眼鏡", "テント"],
            ),
        ],
    },
    Language {
        slice: "korean",
        names: [
            "민수", "지영", "현우", "수진", "영호", "은지", "성민", "미경", "동현", "혜진", "재석",
            "유나", "태호", "선영", "준서", "보라",
        ],
        topics: [
            topic(
                "{n}는 매일 아침 {v}를 마셔요.",
                "{n}는 매일 아침 무엇을 마셔요?",
                ["커피", "녹차", "우유", "홍차", "두유", "주스", "보리차", "코코아"],
            ),
            topic(
                "{n}는 {v}에서 일해요.",
                "{n}는 어디에서 일해요?",
                ["시립병원", "도서관", "자동차공장", "출판사", "동물원", "은행", "빵집", "우체국"],
            ),
            topic(
                "{n}의 고양이 이름은 {v}예요.",
                "{n}의 고양이 이름은 뭐예요?",
                ["나비", "까미", "치즈", "두부", "모카", "보리", "호두", "루비"],
            ),
            topic(
                "{n}는 {v} 알레르기가 있어요.",
                "{n}는 무슨 알레르기가 있어요?",
                ["땅콩", "새우", "꽃가루", "계란", "우유", "밀가루", "복숭아", "먼지"],
            ),
            topic(
                "{n}는 지난달에 {v}로 이사했어요.",
                "{n}는 어디로 이사했어요?",
                ["부산", "대구", "제주", "광주", "인천", "춘천", "여수", "경주"],
            ),
            topic(
                "{n}의 생일은 {v}이에요.",
                "{n}의 생일은 언제예요?",
                [
                    "삼월 오일",
                    "칠월 구일",
                    "시월 이일",
                    "일월 팔일",
                    "오월 일일",
                    "팔월 육일",
                    "십일월 삼일",
                    "사월 십일",
                ],
            ),
            topic(
                "{n}는 요즘 {v}를 배워요.",
                "{n}는 요즘 무엇을 배워요?",
                ["피아노", "수영", "서예", "프랑스어", "태권도", "사진", "바둑", "요리"],
            ),
            topic(
                "{n}는 새 {v}를 샀어요.",
                "{n}는 무엇을 샀어요?",
                ["자전거", "카메라", "냉장고", "시계", "소파", "오토바이", "안경", "텐트"],
            ),
        ],
    },
];
